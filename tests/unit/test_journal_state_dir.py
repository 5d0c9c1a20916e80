"""Where the journal lives, and where it must not."""

from pathlib import Path

import pytest

from fwfix.errors import JournalError
from fwfix.state_dir import file_system_of, prepare_state_dir, state_dir
from fwfix.whoami import controller, operator

MOUNTS = r"""
/dev/vda / ext4 rw 0 0
tmpfs /tmp tmpfs rw 0 0
filer:/home /home nfs4 rw 0 0
/dev/vdb /home/local xfs rw 0 0
filer:/old /srv/with\040space nfs rw 0 0
/dev/vdc /over nfs rw 0 0
/dev/vdd /over ext4 rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/lib", "ext4"),
        ("/home/ops/.local/state", "nfs4"),
        ("/home/local/ops", "xfs"),
        ("/homely", "ext4"),
        ("/srv/with space/state", "nfs"),
        ("/over/state", "ext4"),
    ],
)
def test_the_innermost_and_latest_mount_decides(path: str, kind: str) -> None:
    assert file_system_of(Path(path), MOUNTS) == kind


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "fuse.sshfs", "9p", "ceph"])
def test_a_network_file_system_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    with pytest.raises(JournalError, match=rf"network file system \({kind}\)") as error:
        prepare_state_dir(tmp_path / "state", mounts=f"far {tmp_path.resolve()} {kind} rw 0 0\n")

    assert "local directory" in error.value.next


def test_a_directory_behind_a_link_counts_where_it_really_is(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "near").symlink_to(tmp_path / "far")

    with pytest.raises(JournalError, match="network"):
        prepare_state_dir(tmp_path / "near", mounts=f"far {tmp_path.resolve()}/far nfs rw 0 0\n")


def test_the_option_comes_before_the_variable_and_that_before_the_default(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert state_dir() == tmp_path / "fwfix"
    monkeypatch.setenv("FWFIX_STATE_DIR", "/from/variable")
    assert state_dir() == Path("/from/variable")
    assert state_dir(Path("/from/option")) == Path("/from/option")


def test_it_is_made_with_its_parents_for_us_alone(tmp_path: Path) -> None:
    real = prepare_state_dir(tmp_path / "a" / "b")

    assert real == (tmp_path / "a" / "b").resolve()
    assert [path.stat().st_mode & 0o777 for path in (real.parent, real)] == [0o700, 0o700]
    assert list(real.iterdir()) == []


def test_the_operator_is_the_person_behind_sudo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    alone = operator()
    monkeypatch.setenv("SUDO_USER", "ops")

    assert operator() == "ops (sudo)"
    monkeypatch.setenv("SUDO_USER", alone)
    assert operator() == alone
    assert alone
    assert controller()
