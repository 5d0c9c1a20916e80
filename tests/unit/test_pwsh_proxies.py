"""The generated profile for real pwsh, and the service behind it; no pwsh is needed for these."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from fwfix.lab.windows.cmdlets import TYPES, stand_ins
from fwfix.lab.windows.model.host import WindowsHost
from fwfix.lab.windows.powershell import Array, DateTime, EnumValue, Host, Switch, TimeSpan, UInt16
from fwfix.lab.windows.powershell.nettypes import EnumType
from fwfix.lab.windows.powershell.signals import NotInDialect
from fwfix.lab.windows.pwsh.files import FlatFiles
from fwfix.lab.windows.pwsh.profile import profile_text
from fwfix.lab.windows.pwsh.service import TwinService, enums_of
from fwfix.lab.windows.pwsh.wire import Wire, enum_name
from fwfix.lint.tree import find, parse, text_of

ACTION = next(kind for kind in TYPES if kind.full_name.endswith("NetSecurity.Action"))
assert isinstance(ACTION, EnumType)


def said(text: str) -> dict[str, object]:
    """Return a text as the proxies send it."""
    return {"k": "text", "v": "=" + text}


class Asker:
    """Speaks as the proxies do."""

    def __init__(self, service: TwinService) -> None:
        self.service = service

    def talk(self, asked: dict[str, object], *, yes: bool = True) -> list[dict[str, object]]:
        """Return the lines of an answer; agree or not when asked."""
        with socket.create_connection(("127.0.0.1", self.service.port), timeout=20) as connection:
            lines = connection.makefile("rb")
            connection.sendall(json.dumps({"token": self.service.token, **asked}).encode() + b"\n")
            found = []
            for line in lines:
                found.append(json.loads(line))
                if found[-1]["k"] == "ask":
                    connection.sendall(json.dumps({"yes": yes}).encode() + b"\n")
            lines.close()
            return found

    def call(self, cmdlet: str, *, yes: bool = True, **given: object) -> list[dict[str, object]]:
        """Call a cmdlet."""
        return self.talk({"cmdlet": cmdlet, "set": "Set0", "given": given}, yes=yes)


@pytest.fixture
def windows() -> Iterator[WindowsHost]:
    host = WindowsHost()
    yield host
    host.close()


@pytest.fixture
def asker(windows: WindowsHost) -> Iterator[Asker]:
    outside = Host(registry=windows.registry, files=windows.files, clock=windows.clock)
    with TwinService(host=outside, commands=stand_ins(windows), types=TYPES) as service:
        yield Asker(service)


def block(asker: Asker, *, yes: bool = True) -> list[dict[str, object]]:
    """Make a rule that blocks 9100."""
    return asker.call(
        "New-NetFirewallRule",
        yes=yes,
        Name=said("t"),
        DisplayName=said("t"),
        Protocol=said("TCP"),
        LocalPort={"k": "array", "e": "System.String", "v": [said("9100")]},
        Action={"k": "enum", "t": enum_name(ACTION.full_name), "v": "4"},
    )


def properties(frame: dict[str, object]) -> dict[str, dict[str, object]]:
    """Return the properties of an object's frame."""
    value = frame["v"]
    assert isinstance(value, dict)
    return dict(value["p"])


def names(windows: WindowsHost) -> set[str]:
    """Return the names of the local rules."""
    return {each.rule.name for each in windows.firewall.read("PersistentStore")}


def test_the_profile_is_powershell() -> None:
    # The grammar does not know attributes of an enum, which PowerShell takes (about_Enum).
    text = profile_text(stand_ins(WindowsHost()), enums_of(TYPES)).replace("[Flags()] enum ", "enum ")
    root = parse(text)
    assert [text_of(node)[:200] for node in find(root, "ERROR")] == []


def test_the_profile_has_a_function_for_every_stand_in_with_its_parameters() -> None:
    commands = stand_ins(WindowsHost())
    text = profile_text(commands, enums_of(TYPES))
    for command in commands:
        _, found, rest = text.partition(f"function global:{command.name} {{\n")
        assert found, command.name
        head = rest.partition("    process {")[0]
        for each in command.parameters:
            assert f" ${each.name}" in head, f"{command.name} -{each.name}"
            for set_name in each.sets:
                assert set_name in head, f"{command.name} -{each.name}"


def test_a_proxy_asks_before_it_acts_where_the_cmdlet_does() -> None:
    text = profile_text(stand_ins(WindowsHost()), enums_of(TYPES))
    head = text.partition("function global:Unregister-ScheduledTask {")[2].partition("param(")[0]
    assert "SupportsShouldProcess = $true, ConfirmImpact = 'High'" in head


@pytest.mark.parametrize(
    "value",
    [
        None,
        "2026-11-21T22:00:00Z",
        "=x\u00fc\ud83d\ude00",
        True,
        -7,
        2.5,
        UInt16(9100),
        EnumValue(ACTION, 4),
        DateTime(638000000000000000, "Local"),
    ],
)
def test_a_value_comes_back_as_it_was(value: object) -> None:
    wire = Wire(enums_of(TYPES))
    back = wire.decode(json.loads(json.dumps(wire.encode(value))))
    assert back == value
    assert type(back) is type(value)


def test_a_list_keeps_its_items_and_its_type() -> None:
    wire = Wire(enums_of(TYPES))
    back = wire.decode(json.loads(json.dumps(wire.encode(Array(["a", None], "System.String")))))
    assert isinstance(back, Array)
    assert (back.items, back.element) == (["a", None], "System.String")


def test_switches_and_time_spans_are_read() -> None:
    wire = Wire(())
    assert wire.decode({"k": "switch", "v": False}) == Switch(present=False)
    assert wire.decode({"k": "span", "v": "600000000"}) == TimeSpan(600000000)


@pytest.mark.parametrize(
    "sent",
    [
        {"k": "other", "v": "System.Uri"},
        {"k": "object", "h": "7"},
        {"k": "enum", "t": "FwfixNowhere", "v": "1"},
        {"k": "number", "t": "Decimal", "v": "1"},
        "x",
    ],
)
def test_what_the_model_has_no_counterpart_of_is_refused(sent: object) -> None:
    with pytest.raises(NotInDialect):
        Wire(enums_of(TYPES)).decode(sent)


def test_a_rule_made_over_the_line_is_in_the_model(asker: Asker, windows: WindowsHost) -> None:
    frames = block(asker)
    assert [frame["k"] for frame in frames] == ["ask", "object", "end"]
    assert properties(frames[1])["Action"] == {"k": "enum", "t": enum_name(ACTION.full_name), "v": "4"}
    assert "t" in names(windows)


def test_nothing_changes_when_the_engine_says_no(asker: Asker, windows: WindowsHost) -> None:
    assert [frame["k"] for frame in block(asker, yes=False)] == ["ask", "end"]
    assert "t" not in names(windows)


def test_an_error_has_its_id_without_the_name_of_the_cmdlet(asker: Asker) -> None:
    block(asker)
    error = next(frame for frame in block(asker) if frame["k"] == "error")
    assert (error["id"], error["exception"]) == (
        "Windows System Error 183",
        "Microsoft.Management.Infrastructure.CimException",
    )


def test_an_object_goes_back_into_a_cmdlet_by_its_handle(asker: Asker) -> None:
    block(asker)
    rule = asker.call("Get-NetFirewallRule", Name=said("t"))[0]["v"]
    assert isinstance(rule, dict)
    given = {"k": "object", "h": rule["h"]}
    found = asker.call("Get-NetFirewallPortFilter", AssociatedNetFirewallRule=given)
    assert properties(found[0])["LocalPort"] == said("9100")


def test_what_the_model_does_not_know_ends_the_call_and_is_kept(asker: Asker) -> None:
    (refused, end) = asker.call("Get-Service")
    assert (refused["k"], end["k"]) == ("refused", "end")
    assert str(refused["v"]).startswith("not in the dialect: ")
    assert len(asker.service.refusals) == 1


def test_the_registry_is_the_hosts(asker: Asker) -> None:
    path = said(r"HKLM:\SOFTWARE\Microsoft\Windows NT\CurrentVersion")
    (frame, _) = asker.call("Test-Path", LiteralPath={"k": "array", "e": "System.String", "v": [path]})
    assert frame["v"] == {"k": "bool", "v": True}


@pytest.mark.parametrize("line", [b"", b"{}\n", b"[]\n", b"no json\n", b'{"token": "x", "hello": "7"}\n'])
def test_whoever_does_not_know_the_token_hears_nothing(asker: Asker, line: bytes) -> None:
    with socket.create_connection(("127.0.0.1", asker.service.port), timeout=20) as connection:
        connection.sendall(line)
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(100) == b""
    assert not asker.service.greeted


def test_the_greeting_is_noted(asker: Asker) -> None:
    assert asker.talk({"hello": "7.5.0"}) == [{"k": "end"}]
    assert asker.service.greeted


def test_flat_files_are_whole_paths_in_one_folder(tmp_path: Path) -> None:
    files = FlatFiles(tmp_path)
    folder = r"C:\ProgramData\fwfix"
    files.make_folder(folder)
    files.write(folder + r"\a", b"1", append=False)
    files.write(folder + r"\a", b"2", append=True)
    files.move(folder + r"\a", folder + r"\b", overwrite=False)
    assert sorted(each.name for each in tmp_path.iterdir()) == [folder, folder + r"\b"]
    assert (files.read(folder + r"\b"), files.is_folder(folder), files.is_file(folder)) == (
        b"12",
        True,
        False,
    )
    with pytest.raises(FileExistsError):
        files.copy(folder + r"\b", folder + r"\b", overwrite=False)
    with pytest.raises(OSError, match="not empty"):
        files.delete_folder(folder, recursive=False)
    files.delete_folder(folder, recursive=True)
    assert list(tmp_path.iterdir()) == []
