"""Shells, output, accounts and sealed bodies, each by itself."""

import base64
import struct
import threading
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwfix.lab.windows.cmd import Environment, InputPipe, KilledError, User
from fwfix.lab.windows.wsman import Account, AccountBook, Quotas
from fwfix.lab.windows.wsman.faults import FaultError
from fwfix.lab.windows.wsman.output import Output
from fwfix.lab.windows.wsman.sealing import SealError, seal, unseal
from fwfix.lab.windows.wsman.shells import ShellSettings, ShellTable
from fwfix.lab.windows.wsman.soap import parse_duration, parse_message, parse_xml

USER = User(name="me", domain="TWIN", administrator=True)
BOTH = ("stdout", "stderr")


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def settings(number: int = 1, **changes: object) -> ShellSettings:
    given_id = f"00000000-0000-0000-0000-{number:012}"
    return ShellSettings(
        id=given_id, input_streams=("stdin",), output_streams=BOTH, environment=Environment(), **changes
    )


def test_a_shell_ends_when_it_was_idle_for_its_time_and_not_while_it_is_used() -> None:
    clock = Clock()
    table = ShellTable(Quotas(), clock=clock)
    shell = table.create(settings(idle_timeout=timedelta(seconds=60)), owner=USER, client="::1")
    with shell:
        clock.now += 600
        table.reap()
    clock.now += 59
    assert table.find(shell.settings.id.lower(), USER) is shell
    clock.now += 1
    with pytest.raises(
        FaultError, match=f"ShellId {shell.settings.id} failed because the shell was not found"
    ):
        table.find(shell.settings.id, USER)


def test_a_shell_ends_with_its_lifetime_even_while_it_is_used() -> None:
    clock = Clock()
    table = ShellTable(Quotas(), clock=clock)
    shell = table.create(settings(lifetime=timedelta(seconds=60)), owner=USER, client="::1")
    with shell:
        clock.now += 61
        table.reap()
    assert table.open == ()


def test_a_closed_shell_makes_room_under_its_quota() -> None:
    table = ShellTable(Quotas(max_shells_per_user=2))
    first = table.create(settings(1), owner=USER, client="::1")
    table.create(settings(2), owner=USER, client="::1")
    with pytest.raises(FaultError, match=r"2150859173 w:QuotaLimit.* maximum number of 2 concurrent shells"):
        table.create(settings(3), owner=USER, client="::1")
    table.close(first)
    table.create(settings(3), owner=USER, client="::1")
    with pytest.raises(FaultError, match="AlreadyExists"):
        table.create(settings(3), owner=USER, client="::1")


def test_commands_count_as_operations_until_their_shell_is_gone() -> None:
    table = ShellTable(Quotas(max_concurrent_operations_per_user=1))
    shell = table.create(settings(), owner=USER, client="::1")
    table.check_operations(USER)
    shell.forget(shell.add("A"))
    with pytest.raises(FaultError, match="2150859174"):
        table.check_operations(USER)
    table.close(shell)
    table.check_operations(USER)


def test_output_comes_in_the_order_written_and_the_exit_code_only_with_the_last_of_it() -> None:
    output = Output()
    output.write("stdout", b"a")
    output.write("stderr", b"b")
    output.write("stdout", b"c" * 40_000)
    output.finish(3)
    first = output.take(BOTH, most=300, within=1, linger=0)
    assert first is not None
    assert (first.chunks, first.exit_code) == ((("stdout", b"a"), ("stderr", b"b")), None)
    rest = [output.take(BOTH, most=50_000, within=1, linger=0) for _ in range(2)]
    assert [[len(data) for _, data in each.chunks] for each in rest if each] == [[32768], [7232]]
    assert [each.exit_code for each in rest if each] == [None, 3]


def test_a_chunk_that_no_answer_holds_comes_in_pieces_that_it_does() -> None:
    output = Output()
    output.write("stdout", bytes(range(200)) * 10)
    output.finish(0)
    pieces: list[bytes] = []
    while True:
        portion = output.take(BOTH, most=1128, within=1, linger=0)
        assert portion is not None
        pieces += [data for _, data in portion.chunks]
        if portion.exit_code is not None:
            break
    assert b"".join(pieces) == bytes(range(200)) * 10
    assert max(len(base64.b64encode(piece)) for piece in pieces) <= 1000


def test_ten_thousand_small_writes_come_in_few_chunks() -> None:
    output = Output()
    for number in range(10_000):
        output.write("stderr" if number % 100 == 0 else "stdout", b"x")
    portion = output.take(BOTH, most=1_000_000, within=1, linger=0)
    assert portion is not None
    assert sum(len(data) for _, data in portion.chunks) == 10_000
    assert len(portion.chunks) < 300


def test_a_receive_of_one_stream_leaves_the_other() -> None:
    output = Output()
    output.write("stdout", b"a")
    output.write("stderr", b"b")
    only = output.take(("stderr",), most=300, within=1, linger=0)
    assert only is not None
    assert only.chunks == (("stderr", b"b"),)
    output.finish(0)
    rest = output.take(BOTH, most=300, within=1, linger=0)
    assert rest is not None
    assert (rest.chunks, rest.exit_code) == ((("stdout", b"a"),), 0)


def test_a_receive_without_output_ends_in_time_and_one_of_a_lost_command_at_once() -> None:
    output = Output()
    assert output.take(BOTH, most=10, within=0.01, linger=0) is None
    output.abort()
    with pytest.raises(FaultError, match="995"):
        output.take(BOTH, most=10, within=60, linger=0)


def test_a_writer_waits_for_room_and_unwinds_when_its_process_ends() -> None:
    output = Output(capacity=10)
    output.write("stdout", b"x" * 10)
    ended: list[str] = []

    def write() -> None:
        output.write("stdout", b"y")
        ended.append("written")
        try:
            output.write("stdout", b"z" * 100)
            output.write("stdout", b"never")
        except KilledError:
            ended.append("killed")

    thread = threading.Thread(target=write)
    thread.start()
    assert output.take(BOTH, most=100, within=5, linger=0) is not None
    while not ended:
        thread.join(0.001)
    output.kill()
    thread.join(5)
    assert ended == ["written", "killed"]


def test_a_full_pipe_takes_no_more_until_somebody_reads() -> None:
    pipe = InputPipe(capacity=4)
    assert pipe.write(b"1234", within=1)
    assert not pipe.write(b"5", within=0.01)
    assert pipe.read(2) == b"12"
    assert pipe.write(b"5\n6", within=1)
    pipe.close()
    assert (pipe.readline(), pipe.read(), pipe.readline()) == (b"345\n", b"6", b"")


@pytest.mark.parametrize(
    ("name", "domain", "found"),
    [
        ("Local", "", "local"),
        ("local", "TWIN", "local"),
        ("local", ".", "local"),
        (r"twin\local", "", "local"),
        ("local", "CORP", None),
        ("svc", "corp", "svc"),
        ("svc@corp.example", "", "svc"),
        ("svc", "", None),
    ],
)
def test_an_account_is_found_by_every_name_that_windows_takes(
    name: str, domain: str, found: str | None
) -> None:
    book = AccountBook(
        [Account(name="local", password="a"), Account(name="svc", password="b", domain="CORP")]
    )
    account = book.find(name, domain=domain, machine="TWIN")
    assert (account.name if account else None) == found


def test_a_success_before_the_threshold_forgets_the_failures() -> None:
    account = Account(name="a", password="b")
    book = AccountBook([account], lockout_threshold=2)
    for proved in (False, True, False, True):
        assert book.record("a", account, via="basic", proved=proved) is proved
    for proved in (False, False, True):
        assert not book.record("a", account, via="basic", proved=proved)
        assert book.is_locked(account) is (len(book.logons) >= 6)


def test_a_password_is_not_in_the_text_of_an_account() -> None:
    assert "secret" not in repr(Account(name="a", password="secret"))


class Mirror:
    """Seals by turning the bytes round."""

    def seal(self, data: bytes, /) -> tuple[bytes, bytes]:
        return struct.pack("<IQI", 1, len(data), 0), data[::-1]

    def unseal(self, signature: bytes, data: bytes, /) -> bytes:
        if struct.unpack("<IQI", signature)[1] != len(data):
            raise SealError("The length is wrong.")
        return data[::-1]


@given(st.binary(max_size=300))
def test_sealing_and_unsealing_any_message_gives_it_back(message: bytes) -> None:
    assert unseal(seal(message, Mirror()), Mirror()) == message


@given(st.binary(max_size=200), st.data())
def test_a_sealed_body_that_was_cut_is_refused(message: bytes, data: st.DataObject) -> None:
    body = seal(message, Mirror())
    cut = data.draw(st.integers(0, len(body) - 1))
    with pytest.raises(SealError):
        unseal(body[:cut], Mirror())


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("PT20S", 20), ("PT0.5S", 0.5), ("PT1M", 60), ("P1DT1H1M1S", 90061), ("PT7200.000S", 7200)],
)
def test_a_duration_is_read(text: str, seconds: float) -> None:
    assert parse_duration(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "P", "PT", "20", "PT20", "P1Y", "-PT1S", "PT9999999999S"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


@given(
    st.binary(max_size=400)
    | st.text(max_size=400).map(lambda text: f"<a>{text}</a>".encode("utf-8", "ignore"))
)
def test_no_bytes_make_the_reader_do_anything_but_read_or_refuse(data: bytes) -> None:
    with pytest.raises(FaultError):
        parse_message(parse_xml(data))
