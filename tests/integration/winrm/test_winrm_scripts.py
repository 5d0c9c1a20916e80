"""A script reaches PowerShell as it was written or not at all; so does its answer on the way back."""

import base64
import hashlib
import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from fwfix.cli.session import make_connector
from fwfix.errors import ConnectError, LostError, PrivilegeError, ScriptCutError
from fwfix.lab.windows.cmd import InputPipe, Invocation, PowerShellProgram
from fwfix.lab.windows.cmd.small_engine import SmallEngine
from fwfix.lab.windows.powershell.hosts import Host as EngineHost
from fwfix.lab.windows.wsman import Quotas, TlsIdentity
from fwfix.secret_store import SecretStore

if TYPE_CHECKING:
    from conftest import Rig

NASTY = "it’s ‘so’ ‚low‛ 'q' “d” $x `n \"\"\r\nnext\ttab é€😀 \u2028 --> ]]> &lt; end\n\n"
COUNT = "$null = count.exe\n"


@dataclass(frozen=True)
class Tampering:
    """powershell.exe behind a transport that changes what was sent."""

    keep: int

    def start(self, call: Invocation, /) -> int:
        sent = call.stdin.read()[: self.keep]
        real = PowerShellProgram(SmallEngine(host=EngineHost()))
        return real.start(replace(call, stdin=InputPipe(sent, closed=True)))


@dataclass(frozen=True)
class Impostor:
    """Says what it is told to say, in place of powershell.exe."""

    lines: tuple[str, ...]
    code: int = 0
    stderr: str = ""

    def start(self, call: Invocation, /) -> int:
        call.stdin.read()
        bootstrap = base64.b64decode(call.args[-1]).decode("utf-16-le")
        found = re.search(r"FWFIX-[0-9a-f]+", bootstrap)
        assert found
        for line in self.lines:
            call.say(line.replace("NONCE", found[0]) + "\n")
        call.complain(self.stderr)
        return self.code


def framed(text: str) -> str:
    raw = text.encode()
    return f"NONCE:{hashlib.sha256(raw).hexdigest()}:{base64.b64encode(raw).decode()}"


def test_arguments_and_attachments_arrive_as_they_are(rig: "Rig") -> None:
    executor = rig.open(rig.twin())
    text = "$FwfixArguments.Count; $FwfixArguments[1]; $FwfixAttachments['nasty']"
    assert rig.run(executor, text, "a", "b,c:1.2@x%+", nasty=NASTY).stdout == f"2\nb,c:1.2@x%+\n{NASTY}"
    assert rig.run(executor, text.partition(";")[0]).stdout == "0"
    executor.close()


@pytest.mark.parametrize("size", [2_000, 20_000, 200_000])
def test_a_script_of_any_size_and_alphabet_arrives_to_the_byte(rig: "Rig", size: int) -> None:
    body = ("é€😀ß✓" * size)[:size]
    answer = rig.once(rig.twin(), f"'{body}'")
    assert answer.stdout == body


@pytest.mark.parametrize("keep", [0, 4, 400, 60_000])
def test_a_script_that_arrives_cut_or_not_at_all_does_not_run(rig: "Rig", keep: int) -> None:
    twin = rig.twin(powershell=Tampering(keep=keep))
    text = COUNT * 10 + "# " + "x" * 60_000
    with pytest.raises(ScriptCutError, match="Nothing of it ran") as caught:
        rig.once(twin, text)
    assert twin.ran.count == 0
    assert caught.value.next


def test_an_exit_code_and_an_uncaught_error_come_back_with_what_was_written_before(rig: "Rig") -> None:
    executor = rig.open(rig.twin())
    left = rig.run(executor, "'one'; [Console]::Error.WriteLine('for people'); exit 7; 'two'")
    assert (left.exit_code, left.stdout, left.stderr) == (7, "one", "for people\n")
    thrown = rig.run(executor, "'one'; throw 'went wrong'")
    assert (thrown.exit_code, thrown.stdout, thrown.stderr) == (1, "one", "went wrong\n")
    executor.close()


def test_only_the_pipeline_is_the_answer(rig: "Rig") -> None:
    assert rig.once(rig.twin(), "[Console]::Out.WriteLine('noise'); 'answer'").stdout == "answer"


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ((), 0),
        ((), 1),
        ((), 9009),
        ((framed("x")[:-2],), 0),
        ((framed("whole").replace("d2hvbGU=", "d2hvbGI="),), 0),
        (("NONCE:e3b0c44298fc1c149afbf4c8996fb924:",), 3),
        # With these the bootstrap ends too, but without a word.
        ((framed("x")[:-2],), 86),
        ((framed("x")[:-2],), 87),
    ],
)
def test_a_missing_or_damaged_answer_is_lost_whatever_the_exit_code(
    rig: "Rig", lines: tuple[str, ...], code: int
) -> None:
    with pytest.raises(LostError, match=f"code {code} .* refused by policy"):
        rig.once(rig.twin(powershell=Impostor(lines, code, stderr="refused by policy")), COUNT)


def test_clixml_and_banners_decide_nothing(rig: "Rig") -> None:
    clixml = (
        '#< CLIXML\n<Objs Version="1.1.0.1" xmlns="http://schemas.microsoft.com/powershell/2004/04">'
        '<S S="Error">it broke_x000D__x000A_</S><S S="verbose">no</S></Objs>'
    )
    impostor = Impostor(("Welcome to CORP", framed("fine"), "bye"), stderr=clixml)
    answer = rig.once(rig.twin(powershell=impostor), COUNT)
    assert (answer.exit_code, answer.stdout, answer.stderr) == (0, "fine", "it broke\n")


def test_a_locked_down_powershell_is_named(rig: "Rig") -> None:
    twin = rig.twin(engine=EngineHost(language_mode="ConstrainedLanguage"))
    with pytest.raises(PrivilegeError, match="FullLanguage") as caught:
        rig.once(twin, COUNT)
    assert caught.value.code == "constrained-language"
    assert twin.ran.count == 0


def test_one_shell_serves_many_scripts_and_is_replaced_before_the_quota_of_old_hosts(rig: "Rig") -> None:
    twin = rig.twin()
    executor = rig.open(twin)
    shells = set()
    for _ in range(16):
        assert rig.run(executor, "'ok'").stdout == "ok"
        assert len(twin.server.shells.open) == 1
        shells.add(twin.server.shells.open[0])
    executor.close()
    assert len(shells) == 2
    assert twin.server.shells.open == ()


def test_a_connection_costs_three_requests_and_a_script_four(rig: "Rig", identity: TlsIdentity) -> None:
    for tls in (None, identity):
        twin = rig.twin(tls=tls)
        executor = rig.open(twin, **({} if tls is None else {"ca_file": tls.certificate}))
        # Inside TLS the last message of the logon opens the shell.
        asked = [twin.server.requests]
        assert asked == [3 if tls is None else 2]
        for _ in range(3):
            rig.run(executor, "Start-Sleep -Milliseconds 300; 'ok'")
            asked.append(twin.server.requests)
        # Output may come before the end does: one request more.
        assert min(after - before for before, after in pairwise(asked)) == 4
        executor.close()


def test_a_quota_of_operations_is_given_back_with_the_shell(rig: "Rig") -> None:
    executor = rig.open(rig.twin(quotas=Quotas(max_concurrent_operations_per_user=4)))
    assert [rig.run(executor, "'ok'").stdout for _ in range(10)] == ["ok"] * 10
    executor.close()


def test_a_host_without_a_shell_to_spare_says_so(rig: "Rig") -> None:
    twin = rig.twin(quotas=Quotas(max_shells_per_user=1))
    executor = rig.open(twin)
    with pytest.raises(ConnectError) as caught:
        rig.open(twin)
    assert caught.value.code == "quota"
    executor.close()


def test_the_commands_reach_windows_hosts_with_the_secrets_of_the_inventory(rig: "Rig") -> None:
    twin = rig.twin()
    store = SecretStore(environment={"OPS_PASSWORD": "Pässw0rd!"})
    connector = make_connector({}, store)
    executor = connector.open(twin.host(), deadline=rig.later())
    assert rig.run(executor, "'ok'").stdout == "ok"
    executor.close()
    connector.close()


def test_a_shell_that_the_host_closed_is_opened_again(rig: "Rig") -> None:
    twin = rig.twin()
    executor = rig.open(twin)
    twin.server.shells.close_all()
    assert rig.run(executor, "'ok'").stdout == "ok"
    executor.close()
