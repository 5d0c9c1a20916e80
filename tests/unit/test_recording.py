"""A recording holds no secret in any spelling, is whole, for its owner alone, and replays."""

import base64
import hashlib
import json
import os
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwfix.errors import HostError, LostError, UsageError
from fwfix.executors.recording import Ran, Recorder, answers_of, write_recording
from fwfix.executors.redaction import Redaction, RedactionError, spellings, traces
from fwfix.executors.scripted import ScriptedConnector, answered
from fwfix.model.host import Host, Platform
from fwfix.model.script import Invocation, Script

SECRET = "S3cr'et & <Pässw0rd>"
MACHINE = "1b4e28ba-2fa1-11d2-883f-0016d3cca427"
HOST = Host(name="win-1", address="192.0.2.7", platform=Platform.WINDOWS)
OBSERVE = Invocation(script=Script(name="observe", text="look", changes=False), arguments=("9100/tcp",))


def framed(text: str) -> str:
    raw = text.encode()
    return f"FWFIX-{'ab' * 8}:{hashlib.sha256(raw).hexdigest()}:{base64.b64encode(raw).decode()}"


def stream(raw: bytes) -> str:
    return f'<rsp:Stream Name="stdout" CommandId="C1">{base64.b64encode(raw).decode()}</rsp:Stream>'


@pytest.mark.parametrize("spelling", sorted(set(spellings(SECRET))))
def test_a_secret_goes_in_every_spelling(spelling: str) -> None:
    redaction = Redaction([SECRET])
    clean = redaction.text(f"before {spelling} after")
    assert spelling not in clean
    redaction.prove(clean)


@given(st.text(min_size=6, max_size=40), st.text(max_size=20), st.sampled_from(["utf-8", "utf-16-le"]))
def test_a_secret_goes_from_within_base64(secret: str, before: str, encoding: str) -> None:
    text = f"{before} {secret} and the rest of a sentence"
    try:
        token = base64.b64encode(text.encode(encoding)).decode()
    except UnicodeEncodeError:
        return
    redaction = Redaction([secret])
    clean = redaction.text(f"x {token} y")
    for encoded in traces(secret):
        assert encoded not in clean or encoded in "x  y and the rest of a sentence"


@pytest.mark.parametrize("shift", [0, 1, 2])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_what_is_left_is_found_wherever_it_begins(shift: int, encoding: str) -> None:
    token = base64.b64encode(b"\xff" * shift + SECRET.encode(encoding) + b"\xff").decode()
    with pytest.raises(RedactionError) as caught:
        Redaction([SECRET]).prove(f"cut{token}")
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("size", [1, 7, 50, 100_000])
def test_answers_that_came_in_pieces_are_cleaned_as_a_whole_and_keep_their_pieces(size: int) -> None:
    raw = (framed(json.dumps({"machine_id": MACHINE, "said": SECRET})) + "\r\n").encode()
    pieces = [raw[at : at + size] for at in range(0, len(raw), size)]
    redaction = Redaction([SECRET], [MACHINE])
    clean = redaction.envelopes([f"<a>{stream(piece)}</a>" for piece in pieces])
    got = [base64.b64decode(body.partition('">')[2].partition("<")[0]) for body in clean]
    assert [len(each) for each in got] == [len(piece) for piece in pieces]
    _, digest, encoded = b"".join(got).decode().strip().split(":")
    inner = base64.b64decode(encoded)
    assert hashlib.sha256(inner).hexdigest() == digest
    assert (SECRET not in inner.decode(), MACHINE not in inner.decode()) == (True, True)
    redaction.prove("".join(clean))


def test_sids_name_no_domain() -> None:
    clean = Redaction([]).text("S-1-5-21-3623811015-3361044348-30300820-1013 and S-1-5-18")
    assert clean == "S-1-5-21-1111111111-1111111111-11111111-1013 and S-1-5-18"


def recorded(stdout: str) -> dict[str, object]:
    recorder = Recorder()
    connector = recorder.attach(ScriptedConnector({("win-1", "observe"): answered(stdout)}), [HOST.platform])
    executor = connector.open(HOST, deadline=time.monotonic() + 5)
    executor.run(OBSERVE, deadline=time.monotonic() + 5)
    executor.close()
    recorder.note("win-1", Ran(invocation=OBSERVE, error=LostError(f"lost {SECRET}")))
    recorder.hear("win-1", 0, f"<a>{quote(SECRET)}</a>")
    recorder.hear("win-1", 200, f"<a>{stream(framed(stdout).encode())}</a>")
    return recorder.document([HOST], [SECRET], examined=[{"message": f"refused {SECRET}"}])


def test_a_whole_recording_holds_no_trace_of_a_secret_or_of_the_machine() -> None:
    text = json.dumps(recorded(json.dumps({"machine_id": MACHINE, "said": SECRET})))
    assert [trace for trace in traces(SECRET) if trace in text] == []
    assert MACHINE not in text
    assert base64.b64encode(MACHINE.encode()).decode()[:20] not in text


def test_a_recording_replays_through_the_scripted_executor() -> None:
    document = json.loads(json.dumps(recorded('{"schema": "fwfix.answer/1"}')))
    book = ScriptedConnector(answers_of(document))  # type: ignore[arg-type]
    executor = book.open(HOST, deadline=time.monotonic() + 5)
    assert executor.run(OBSERVE, deadline=time.monotonic() + 5).stdout == '{"schema": "fwfix.answer/1"}'
    with pytest.raises(HostError) as caught:
        executor.run(OBSERVE, deadline=time.monotonic() + 5)
    assert caught.value.code == "lost"
    executor.close()


def test_a_file_that_is_no_recording_is_refused() -> None:
    with pytest.raises(ValueError, match=r"fwfix\.recording/1"):
        answers_of({"schema": "fwfix.run/1"})


def test_a_recording_is_its_owners_alone_and_replaces_a_wider_file(tmp_path: Path) -> None:
    path = tmp_path / "recording.json"
    path.write_text("old")
    path.chmod(0o644)
    previous = os.umask(0)
    try:
        write_recording(path, {"schema": "fwfix.recording/1"})
    finally:
        os.umask(previous)
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text()) == {"schema": "fwfix.recording/1"}
    assert [each.name for each in tmp_path.iterdir()] == ["recording.json"]


def test_a_place_that_cannot_be_written_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="cannot be written"):
        write_recording(tmp_path / "folder", {})
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]
