"""A file is written whole or not at all, and takes the place of nothing but a file."""

import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from fwfix.whole_file import check_place, write_whole

FilesOfAtMost = Callable[[int], AbstractContextManager[None]]


def test_a_file_takes_the_place_of_an_older_one_with_the_rights_that_the_umask_or_a_secret_wants(
    tmp_path: Path,
) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(b"old")
    umask = os.umask(0o027)
    try:
        write_whole(path, b"new")
        assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o640)
        write_whole(path, b"secret", private=True)
    finally:
        os.umask(umask)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"secret", 0o600)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("kind", ["pipe", "link to a pipe", "link to a device", "folder"])
def test_what_is_no_file_is_never_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    if kind == "folder":
        path.mkdir()
    elif kind == "link to a device":
        path.symlink_to("/dev/null")
    else:
        os.mkfifo(tmp_path / "pipe")
        path = path if kind == "link to a pipe" else tmp_path / "pipe"
        if kind == "link to a pipe":
            path.symlink_to("pipe")
    before = sorted((each.name, each.lstat().st_mode) for each in tmp_path.iterdir())
    for attempt in (lambda: check_place(path), lambda: write_whole(path, b"new")):
        with pytest.raises(OSError, match=r"not a file|Is a directory"):
            attempt()
    assert sorted((each.name, each.lstat().st_mode) for each in tmp_path.iterdir()) == before


def test_a_disk_that_fills_up_half_way_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, files_of_at_most: FilesOfAtMost
) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(b"old")
    with files_of_at_most(1000), pytest.raises(OSError, match="too large"):
        write_whole(path, b"n" * 5000)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_or_whose_name_is_too_long_for_more_is_found_before(
    tmp_path: Path,
) -> None:
    with pytest.raises(FileNotFoundError, match="no such folder"):
        check_place(tmp_path / "missing" / "plan.json")
    path = tmp_path / ("n" * 255)
    write_whole(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_followed(tmp_path: Path, *, there: bool) -> None:
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "plan.json", tmp_path / "plan.json"
    if there:
        target.write_bytes(b"old")
    link.symlink_to("real/plan.json")
    write_whole(link, b"new")
    assert (target.read_bytes(), link.is_symlink()) == (b"new", True)


@pytest.mark.parametrize("descriptor", [0, 1, 2])
def test_what_the_program_prints_to_or_reads_from_is_never_replaced_even_where_it_is_a_file(
    tmp_path: Path, descriptor: int
) -> None:
    """As /dev/stdout with the output sent to a file."""
    link, out = tmp_path / "stdout", tmp_path / "out"
    link.symlink_to(f"/proc/self/fd/{descriptor}")
    program = "import sys; from pathlib import Path; from fwfix.whole_file import write_whole;"
    words = [sys.executable, "-c", f"{program} write_whole(Path(sys.argv[1]), b'new')", str(link)]
    with out.open("w+") as stream:
        streams = {("stdin", "stdout", "stderr")[descriptor]: stream}
        done = subprocess.run(words, check=False, timeout=60, **{"stderr": subprocess.DEVNULL} | streams)
    assert done.returncode == 1
    assert link.is_symlink()
    assert b"new" not in out.read_bytes().splitlines()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["out", "stdout"]
