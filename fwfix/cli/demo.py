"""`fwfix demo`: throw-away hosts on this machine, and the main job on them."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from fwfix.cli.options import program
from fwfix.errors import LabError, UsageError

if TYPE_CHECKING:
    from fwfix.lab.inventory import Entry
    from fwfix.lab.linux import Lab

_DEFAULT_DIR = Path("fwfix-demo")
_SIGNALS = (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM))
_TWINS = "The Windows hosts are twins, not Windows: docs/windows-twin.md says what stands in."


def demo(
    context: typer.Context,
    linux: Annotated[int, typer.Option("--linux", metavar="N", min=0, max=200, help="Linux hosts.")] = 3,
    windows: Annotated[int, typer.Option("--windows", metavar="N", min=0, max=40, help="Windows twins.")] = 1,
    directory: Annotated[
        Path | None,
        typer.Option(
            "--dir",
            metavar="DIR",
            help=f"For --keep and --clean. Default: ./{_DEFAULT_DIR}.",
            show_default=False,
        ),
    ] = None,
    owner: Annotated[str, typer.Option("--owner", hidden=True)] = "",
    *,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the hosts running, untouched, with an inventory in DIR.")
    ] = False,
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove everything that --keep made in DIR, or a killed demo.")
    ] = False,
) -> None:
    """Build throw-away hosts on this machine, run the main job on them, and remove them."""
    if keep and clean:
        raise UsageError("--keep and --clean exclude each other")
    if not clean and not linux and not windows:
        raise UsageError("--linux 0 and --windows 0 leave no host to build", next="Ask for one at least.")
    chosen = directory or _DEFAULT_DIR
    if clean and not _may_hold_a_demo(chosen):
        typer.echo(f"There is no demo in {chosen}.")
        return
    _become_root(color=program(context).color)
    if clean:
        _clean(chosen)
    elif keep:
        _keep(chosen, linux, windows=windows, owner=owner)
    else:
        _show(directory or _scratch(), linux, windows=windows, color=program(context).color)


def _become_root(*, color: bool) -> None:
    """Go on as root, through sudo where we are not; does not return then."""
    if sys.platform != "linux":
        raise UsageError(
            "the demo builds hosts from network namespaces, which only Linux has",
            next="Run it on a Linux machine or in a virtual one.",
        )
    if os.geteuid() == 0:
        return
    again = shlex.join(["sudo", sys.executable, "-m", "fwfix", *sys.argv[1:]])
    if not shutil.which("sudo"):
        raise UsageError("the demo needs root for network namespaces, and sudo is not installed")
    sys.stderr.write("The demo needs root to make network namespaces; asking through sudo.\n")
    sys.stderr.flush()
    ask = ["sudo"] if sys.stdin.isatty() else ["sudo", "-n"]
    if subprocess.run([*ask, "--", "true"], check=False).returncode != 0:
        raise UsageError("the demo needs root for network namespaces", next=f"As root, or with sudo: {again}")
    options = [] if color else ["--no-color"]
    ours = ["--owner", f"{os.getuid()}:{os.getgid()}"]
    arguments = [sys.executable, "-m", "fwfix", *options, *sys.argv[1:], *ours]
    os.execvp("sudo", [*ask, "--", *arguments])  # noqa: S606 - no shell is wanted


def _may_hold_a_demo(directory: Path) -> bool:
    try:
        return (directory / ".lab").exists()
    except PermissionError:
        return True  # root will see


def _scratch() -> Path:
    return Path(tempfile.gettempdir()) / f"fwfix-demo-{secrets.token_hex(4)}"


@contextlib.contextmanager
def _signals() -> Iterator[None]:
    """Let every signal that ends us unwind the stack, so that hosts are removed on the way."""

    def unwind(*_: object) -> NoReturn:
        # A second one must not stop the clean-up that the first one began.
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, unwind) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _new_lab(directory: Path, *, keep: bool) -> Lab:
    from fwfix.lab.linux import Lab, requirements

    if missing := requirements():
        raise LabError(
            f"The demo cannot run here: {'; '.join(missing)}.",
            next="On Debian and Ubuntu, `make setup` in a checkout installs what is missing.",
        )
    return Lab(directory, keep=keep)


def _fill(lab: Lab, linux: int, *, windows: int = 0) -> Path:
    """Build the hosts and write the inventory; return its path."""
    from fwfix.lab.linux import HostSpec, write_inventory

    lab.build([HostSpec(name=f"demo-linux-{number}") for number in range(1, linux + 1)])
    others: tuple[Entry, ...] = ()
    if windows:
        from fwfix.lab.windows.twin_process import start_twins, windows_entries

        twins = start_twins(lab.network, [f"demo-windows-{number}" for number in range(1, windows + 1)])
        others = windows_entries(lab.network, twins, lab.directory)
    return write_inventory(lab, lab.directory, others=others)


def _keep(directory: Path, linux: int, *, windows: int, owner: str) -> None:
    from fwfix.cli.demo_story import tell_kept

    lab = _new_lab(directory, keep=True)
    with _signals():
        try:
            inventory = _fill(lab, linux, windows=windows)
            _give(lab, owner)
        except BaseException:
            lab.close()
            raise
    tell_kept(directory / inventory.name, directory, count=linux + windows)
    if windows:
        typer.echo(_TWINS)


def _give(lab: Lab, owner: str) -> None:
    """Give what the hosts' user has to read to the one who asked through sudo."""
    if not owner:
        return
    user, _, group = owner.partition(":")
    content = lab.network.record.content
    paths = [Path(path) for path in content["files"]]
    if content["made_directory"]:
        paths.append(lab.directory)
    for path in paths:
        os.chown(path, int(user), int(group), follow_symlinks=False)


def _clean(directory: Path) -> None:
    from fwfix.lab.linux import clean

    clean(directory.absolute())
    typer.echo(f"Everything that the demo made in {directory} is removed.")


def _rules(lab: Lab) -> Mapping[str, str]:
    """Return every host's firewall rules: of a twin, what its packet filter holds."""
    found = {host.name: host.iptables_save() + host.ip6tables_save() for host in lab.hosts}
    for host in json.loads((lab.directory / "demo.json").read_text(encoding="utf-8"))["hosts"]:
        if host["platform"] == "windows":
            argv = ["nsenter", f"--net=/run/netns/{host['netns']}", "nft", "--stateless", "list", "ruleset"]
            found[host["name"]] = subprocess.run(argv, check=True, capture_output=True, text=True).stdout
    return found


def _show(directory: Path, linux: int, *, windows: int, color: bool) -> None:
    from fwfix.cli.demo_story import Scene, Story, SurpriseError

    lab = _new_lab(directory, keep=False)
    story = Story(color=color)
    with _signals():
        try:
            story.begin(linux, windows, note=_TWINS if windows else None)
            inventory = _fill(lab, linux, windows=windows)
            scene = Scene(
                inventory=inventory,
                state_dir=lab.network.record.private / "state",
                connect=lab.outside.connect,
                rules=lambda: _rules(lab),
            )
            story.tell(scene)
        except SurpriseError as surprise:
            sys.stdout.flush()
            sys.stderr.write(f"fwfix: the demo did not go as it should: {surprise}\n")
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            sys.stdout.flush()
            sys.stderr.write("\nfwfix: interrupted; removing the hosts\n")
            raise
        finally:
            lab.close()
    story.end()
