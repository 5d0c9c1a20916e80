"""Scripts arrive whole and run as root, whatever the login shell and the account are like."""

import shutil
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal

import pytest

from fwfix.errors import DeadlineError, LostError, PrivilegeError, ScriptCutError, ScriptError
from fwfix.lab.linux import HostSpec, Lab
from fwfix.model.host import Become

if TYPE_CHECKING:
    from conftest import Rig

pytestmark = pytest.mark.lab

MakeLab = Callable[[Sequence[HostSpec]], Lab]

ASK = """id -un; printf '%s|' "$#" "$@"; echo; cat; printf %s "$SSH_CONNECTION"; echo oops >&2; exit 3
"""


def test_a_script_runs_as_root_through_sudo_with_a_password(lab: Lab, rig: "Rig") -> None:
    lab_host = lab["demo-linux-1"]
    executor = rig.open(rig.host(lab_host))
    result = executor.run(rig.script(ASK, "a", "", "c,d"), deadline=rig.soon())
    executor.close()
    assert result.stdout.splitlines()[:2] == ["root", "3|a||c,d|"]
    assert result.stdout.endswith(f"{lab_host.address} 22")
    assert (result.exit_code, result.stderr) == (3, "oops\n")
    assert str(executor.peer) == lab_host.address


@pytest.mark.parametrize("sudo", ["password", "nopasswd"])
def test_only_an_account_with_uid_0_can_be_become(
    make_lab: MakeLab, rig: "Rig", sudo: Literal["password", "nopasswd"]
) -> None:
    lab_host = make_lab([HostSpec(name="names", sudo=sudo)])["names"]
    lab_host.run(["tee", "-a", "/etc/passwd"], input="toor:x:0:0::/root:/bin/sh\n")
    assert rig.run(rig.host(lab_host, become_user="toor"), "id -u").stdout == "0\n"
    for other in ("nobody", lab_host.user):
        with pytest.raises(PrivilegeError, match=rf"{other} is not root \(uid 0\)") as caught:
            rig.run(rig.host(lab_host, become_user=other), "touch /tmp/it-ran")
        assert caught.value.code == "not-administrator"
    assert lab_host.run(["cat", "/var/log/syslog"]).stdout.count("COMMAND=") == 1  # toor's alone
    with pytest.raises(PrivilegeError, match="Correct become_user"):
        rig.run(rig.host(lab_host, become_user="nosuchuser"), "touch /tmp/it-ran")
    assert lab_host.run(["ls", "-A", "/tmp"]).stdout == ""


@pytest.mark.parametrize("size", [2, 20_000, 200_000, 2_000_000])
def test_a_script_of_any_size_and_any_characters_arrives_whole(lab: Lab, rig: "Rig", size: int) -> None:
    odd = "it's \\ ! `x` $(y) \"é€😀\t"
    padding = ("# " + "ä" * 60 + "\n") * (size // 123)
    text = f"cat <<'END'\n{odd}\nEND\n{padding}printf %s end"
    assert rig.run(rig.host(lab["demo-linux-1"]), text, seconds=30).stdout == f"{odd}\nend"


def test_attachments_arrive_exactly(lab: Lab, rig: "Rig") -> None:
    texts = {"rollback.sh": "it's\n\\ !'\n\n", "notes": "", "big": "x'é\n" * 50_000}
    executor = rig.open(rig.host(lab["demo-linux-1"]))
    for name, text in texts.items():
        invocation = rig.script(f"fwfix_attachment {name}", attachments=texts)
        assert executor.run(invocation, deadline=rig.soon()).stdout == text
    assert (
        executor.run(rig.script("fwfix_attachment no", attachments=texts), deadline=rig.soon()).exit_code == 1
    )
    executor.close()


def test_the_environment_of_a_script_is_complete_and_private(lab: Lab, rig: "Rig") -> None:
    text = 'echo "$LC_ALL"; umask; pwd; command -v iptables; : > /tmp/x; stat -c %a /tmp/x; rm /tmp/x'
    assert rig.run(rig.host(lab["demo-linux-1"]), text).stdout.split() == [
        "C",
        "0077",
        "/",
        "/usr/sbin/iptables",
        "600",
    ]


def test_neither_password_nor_temporary_file_is_left_or_visible(lab: Lab, rig: "Rig") -> None:
    lab_host = lab["demo-linux-1"]
    look = "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null | tr '\\0' '\\n'"
    result = rig.run(rig.host(lab_host), f"{look}; ls -A /tmp /var/tmp /dev/shm >&2")
    assert "sudo" in result.stdout
    assert lab_host.password not in result.stdout
    assert "fwfix." not in result.stderr


def test_a_script_cannot_take_its_frame_away(lab: Lab, rig: "Rig") -> None:
    text = (
        'set -eu; trap "" 1 2 15; cd /tmp; exec 2>&-; PATH=/nowhere; echo here; exec >&-; false; echo never'
    )
    result = rig.run(rig.host(lab["demo-linux-1"]), text)
    assert (result.stdout, result.exit_code) == ("here\n", 1)


def test_a_background_process_that_holds_the_output_delays_nothing(lab: Lab, rig: "Rig") -> None:
    result = rig.run(rig.host(lab["demo-linux-1"]), "sleep 30 & echo $!", seconds=5)
    lab["demo-linux-1"].run(["kill", result.stdout.strip()])
    assert result.took_ms < 4000


def test_a_syntax_error_is_an_answer(lab: Lab, rig: "Rig") -> None:
    result = rig.run(rig.host(lab["demo-linux-1"]), "echo one\nif then fi")
    assert result.exit_code != 0
    assert "yntax error" in result.stderr


def test_a_command_that_hangs_ends_at_the_deadline_as_unknown(lab: Lab, rig: "Rig") -> None:
    executor = rig.open(rig.host(lab["demo-linux-1"]))
    with pytest.raises(DeadlineError):
        executor.run(rig.script("echo begun; sleep 20"), deadline=rig.soon(1))
    assert executor.run(rig.script("echo alive"), deadline=rig.soon()).stdout == "alive\n"
    executor.close()
    lab["demo-linux-1"].run(["pkill", "sleep"])


def test_endless_output_ends_as_unknown(lab: Lab, rig: "Rig") -> None:
    with pytest.raises(LostError, match="too much"):
        rig.run(rig.host(lab["demo-linux-1"]), "yes", seconds=60)


def test_endless_errors_do_not_fill_the_memory(lab: Lab, rig: "Rig") -> None:
    result = rig.run(rig.host(lab["demo-linux-1"]), "yes | head -c 20000000 >&2; echo end >&2", seconds=60)
    assert len(result.stderr) <= 65536
    assert result.stderr.endswith("end\n")


def test_a_connection_that_is_cut_in_a_script_ends_as_unknown(lab: Lab, rig: "Rig") -> None:
    with pytest.raises(LostError):
        rig.run(rig.host(lab["demo-linux-1"]), "echo begun; pkill -9 -f '^sshd: ops'; sleep 9", seconds=8)


@pytest.mark.parametrize("shell", ["dash", "bash", "busybox", "fish", "tcsh", "zsh", "ksh"])
@pytest.mark.parametrize("sudo", ["password", "nopasswd"])
def test_every_login_shell_will_do_even_a_noisy_one(
    make_lab: MakeLab, rig: "Rig", shell: str, sudo: Literal["password", "nopasswd"]
) -> None:
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    boot = ()
    if shell == "busybox":
        boot, path = (f"ln -s {path} /var/ash",), "/var/ash"
    spec = HostSpec(name="shells", shell=path, noisy=True, sudo=sudo, path_without_sbin=True, boot=boot)
    lab = make_lab([spec])
    result = rig.run(rig.host(lab["shells"]), "id -un; command -v iptables")
    assert result.stdout == "root\n/usr/sbin/iptables\n"


def test_root_needs_no_sudo(make_lab: MakeLab, rig: "Rig") -> None:
    lab = make_lab([HostSpec(name="direct", user="root", noisy=True)])
    assert rig.run(rig.host(lab["direct"]), "id -un").stdout == "root\n"


def test_refusals_say_what_to_do(make_lab: MakeLab, rig: "Rig") -> None:
    lab = make_lab(
        [
            HostSpec(name="refused", sudo="refused"),
            HostSpec(name="restricted", sudo="restricted"),
            HostSpec(name="asks", sudo="password"),
            HostSpec(name="tty", sudoers="Defaults requiretty\nops ALL=(ALL) NOPASSWD: ALL"),
            HostSpec(name="nologin", shell="/usr/sbin/nologin"),
            HostSpec(name="no-commands", sshd_config="ForceCommand /bin/false"),
        ]
    )
    for name, change, expected in (
        ("refused", {}, "not in the sudoers file"),
        ("restricted", {}, "Allow /bin/sh"),
        ("asks", {"become_password": None}, "Set become_password"),
        ("tty", {"become_password": None}, "requiretty"),
        ("nologin", {}, "currently not available"),
        ("no-commands", {}, "ran nothing"),
    ):
        with pytest.raises((PrivilegeError, ScriptError), match=expected):
            rig.run(rig.host(lab[name], **change), "echo never")


def test_a_payload_that_is_cut_never_runs(lab: Lab, rig: "Rig", monkeypatch: pytest.MonkeyPatch) -> None:
    from fwfix.executors import sudo

    whole = sudo.stdin_of
    monkeypatch.setattr(sudo, "stdin_of", lambda parcel, password: whole(parcel, password)[:-3])
    with pytest.raises(ScriptCutError):
        rig.run(rig.host(lab["demo-linux-1"]), "echo never; touch /tmp/it-ran; :::")
    assert lab["demo-linux-1"].run(["test", "-e", "/tmp/it-ran"]).returncode == 1


def test_the_leftover_password_never_reaches_a_script(make_lab: MakeLab, rig: "Rig") -> None:
    lab = make_lab([HostSpec(name="open", sudo="nopasswd")])
    host = rig.host(lab["open"], become=Become.SUDO, become_password=rig.ref("not-needed"))
    assert rig.run(host, "cat; set").stdout.count("not-needed") == 0
