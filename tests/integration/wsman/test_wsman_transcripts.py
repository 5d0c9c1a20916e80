"""The twin answers what Windows answered: requests and responses recorded by pypsrp are played again."""

import base64
import http.client
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from fwfix.lab.windows.cmd import Invocation, PowerShellCall, PowerShellProgram, standard_programs
from fwfix.lab.windows.wsman import Account, Listener, WsmanConfig, WsmanServer

RECORDINGS = Path(__file__).parents[4] / "shared" / "data" / "winrs_transcripts.json"
S = "{http://www.w3.org/2003/05/soap-envelope}"
RSP = "{http://schemas.microsoft.com/wbem/wsman/1/windows/shell}"
FAULT = "{http://schemas.microsoft.com/wbem/wsman/1/wsmanfault}WSManFault"
ID = re.compile(r"[0-9A-F]{8}(?:-[0-9A-F]{4}){3}-[0-9A-F]{12}")

VOLATILE = ("CommandId",)
WRITTEN_BY_THE_HOST = (
    f"{RSP}Stream",
    f"{RSP}Owner",
    f"{RSP}ClientIP",
    f"{RSP}ShellRunTime",
    f"{RSP}ShellInactivity",
)


def recorded() -> dict[str, list[dict[str, str]]]:
    return json.loads(RECORDINGS.read_text()) if RECORDINGS.exists() else {}


class Recorded:
    """Just enough of PowerShell for what the recordings run; a sleep lasts until the test says so."""

    def __init__(self) -> None:
        self.morning = threading.Event()

    def run(self, wanted: PowerShellCall, call: Invocation, /) -> int:
        script = wanted.script or call.stdin.read().decode()
        for statement in filter(None, (part.strip() for part in script.split(";"))):
            if statement.startswith("Start-Sleep"):
                while not self.morning.wait(0.01):
                    call.job.check()
            else:
                call.stdout.write(re.sub(r'^Write-Host |"', "", statement).encode())
                call.stdout.write(b"\n")
        return 0


def exchange(port: int, request: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request(
            "POST",
            "/wsman",
            request.encode(),
            {
                "Content-Type": "application/soap+xml;charset=UTF-8",
                "Authorization": "Basic " + base64.b64encode(b"vagrant:vagrant").decode(),
            },
        )
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def skeleton(element: ET.Element) -> tuple[object, ...]:
    """Names, attributes, order and everything that is no id, time or output; pieces of one stream are one."""
    children = []
    for child in element:
        made = skeleton(child)
        if not (
            child.tag == f"{RSP}Stream" and "End" not in child.attrib and children and children[-1] == made
        ):
            children.append(made)
    attributes = tuple(
        sorted((name, "" if name in VOLATILE else value) for name, value in element.attrib.items())
    )
    constant = element.tag not in WRITTEN_BY_THE_HOST and not children
    text = (element.text or "") if constant and not ID.search(element.text or "") else ""
    return element.tag, attributes, text, tuple(children)


@pytest.fixture
def powershell() -> Recorded:
    return Recorded()


@pytest.fixture
def port(powershell: Recorded, name: str) -> Iterator[int]:
    # One of the recorded hosts names an activity in every answer; nothing in its requests asks for it.
    activity_ids = "ActivityId>" in recorded()[name][0]["response"]
    programs = standard_programs().having({"powershell.exe": PowerShellProgram(powershell)})
    config = WsmanConfig(basic=True, allow_unencrypted=True, activity_ids=activity_ids)
    with WsmanServer(
        accounts=[Account(name="vagrant", password="vagrant")], programs=programs, config=config
    ) as server:
        yield server.serve([Listener()])[0][1]
        assert server.crashes == []


def play(
    port: int, pairs: list[dict[str, str]], powershell: Recorded
) -> Iterator[tuple[dict[str, str], int, str]]:
    """Send what was sent, with this server's ids in place of the recorded ones."""
    ids = {}
    timeouts = 0
    for pair in pairs:
        request = pair["request"]
        for theirs, ours in ids.items():
            request = request.replace(theirs, ours)
        # Ten seconds on Windows; a tenth of that shows the same.
        status, answer = exchange(port, request.replace(">PT10S<", ">PT1S<"))
        timeouts += "w:TimedOut" in answer
        if timeouts == 2:
            powershell.morning.set()
        for tag in ("ShellId", "CommandId"):
            theirs = re.search(f"<rsp:{tag}>([^<]*)<", pair["response"])
            ours = re.search(f"<rsp:{tag}>([^<]*)<", answer)
            if theirs and ours:
                ids[theirs[1]] = ours[1]
        yield pair, status, answer


@pytest.mark.skipif(not RECORDINGS.exists(), reason=f"the recordings are not at {RECORDINGS}")
@pytest.mark.parametrize("name", sorted(recorded()))
def test_every_answer_has_the_structure_and_the_fault_that_windows_recorded(
    name: str, port: int, powershell: Recorded
) -> None:
    for number, (pair, status, answer) in enumerate(play(port, recorded()[name], powershell)):
        assert status == pair.get("http", 200), (number, answer)
        theirs, ours = ET.fromstring(pair["response"]), ET.fromstring(answer)
        assert skeleton(ours) == skeleton(theirs), number
        fault = theirs.find(f".//{FAULT}")
        if fault is not None:
            assert ours.find(f".//{FAULT}").get("Code") == fault.get("Code")


def output(answer: str, stream: str) -> bytes:
    streams = ET.fromstring(answer).iter(f"{RSP}Stream")
    return b"".join(base64.b64decode(each.text or "") for each in streams if each.get("Name") == stream)


@pytest.mark.skipif(not RECORDINGS.exists(), reason=f"the recordings are not at {RECORDINGS}")
@pytest.mark.parametrize("name", sorted(set(recorded()) - {"test_client_execute_cmd"}))
def test_every_command_but_dir_writes_the_bytes_that_windows_recorded(
    name: str, port: int, powershell: Recorded
) -> None:
    for pair, _, answer in play(port, recorded()[name], powershell):
        assert output(answer, "stdout") == output(pair["response"], "stdout")
        assert output(answer, "stderr") == output(pair["response"], "stderr")
