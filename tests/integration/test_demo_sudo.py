"""The demo of somebody who is not root: it asks through sudo, and says what it needs where it cannot."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

# Root's process with the answers that the system would give to a user; what is tested starts the same way.
AS_USER = """
import os, sys, sysconfig
sysconfig.get_config_vars()  # reads a file that is named after the real platform
os.geteuid = lambda: 65534
os.getuid, os.getgid = (lambda: 65534), (lambda: 65533)
sys.argv[0] = "fwfix"
from fwfix.cli.main import main
sys.platform = {platform!r}
main()
"""
REFUSES = '#!/bin/sh\necho "$@" >>"$0.log"\nexit 1\n'
WORKS = '#!/bin/sh\necho "$@" >>"$0.log"\n[ "$1" = -n ] && shift\nshift\nexec "$@"\n'


def run(
    *arguments: str, sudo: str | None, tmp_path: Path, platform: str = "linux"
) -> subprocess.CompletedProcess[str]:
    program = tmp_path / "bin" / "sudo"
    program.parent.mkdir(exist_ok=True)
    program.unlink(missing_ok=True)
    if sudo is not None:
        program.write_text(sudo)
        program.chmod(0o755)
    return subprocess.run(
        [sys.executable, "-c", AS_USER.format(platform=platform), *arguments],
        cwd=tmp_path,
        env={
            "PATH": str(program.parent) if sudo is None else f"{program.parent}:/usr/sbin:/usr/bin:/sbin:/bin"
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", [("demo",), ("demo", "--keep"), ("demo", "--linux", "1")])
@pytest.mark.parametrize(
    ("sudo", "said"), [(None, "sudo is not installed"), (REFUSES, "As root, or with sudo")]
)
def test_without_root_and_sudo_the_demo_says_what_it_needs(
    tmp_path: Path, arguments: Sequence[str], sudo: str | None, said: str
) -> None:
    ended = run(*arguments, sudo=sudo, tmp_path=tmp_path)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "needs root" in ended.stderr
    assert said in ended.stderr
    assert not (tmp_path / "fwfix-demo").exists()


def test_elsewhere_than_on_linux_the_demo_says_so(tmp_path: Path) -> None:
    ended = run("demo", sudo=WORKS, tmp_path=tmp_path, platform="darwin")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "only Linux" in ended.stderr
    assert not (tmp_path / "bin" / "sudo.log").exists()


def test_nobody_is_asked_for_a_password_when_there_is_nothing_to_clean(tmp_path: Path) -> None:
    ended = run("demo", "--clean", sudo=REFUSES, tmp_path=tmp_path)
    assert ended.returncode == 0
    assert not (tmp_path / "bin" / "sudo.log").exists()


@pytest.mark.lab
@pytest.mark.usefixtures("lab_possible")
def test_what_sudo_built_belongs_to_the_user_who_asked(tmp_path: Path) -> None:
    try:
        ended = run(
            "--no-color", "demo", "--keep", "--linux", "1", "--windows", "0", sudo=WORKS, tmp_path=tmp_path
        )
        assert ended.returncode == 0, ended.stderr
        assert "asking through sudo" in ended.stderr
        made = tmp_path / "fwfix-demo"
        owners = {(path.stat().st_uid, path.stat().st_gid) for path in (made, *made.glob("[!.]*"))}
        assert owners == {(65534, 65533)}
        assert (made / ".lab").stat().st_uid == 0
        assert len(json.loads((made / "demo.json").read_text())["hosts"]) == 1
    finally:
        ended = run("demo", "--clean", sudo=WORKS, tmp_path=tmp_path)
    assert ended.returncode == 0
    assert not (tmp_path / "fwfix-demo").exists()
