"""Files of a Windows host that somebody else has open, or that are damaged, stop nobody who undoes."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from fwfix.lab.windows.model.files import DiskFiles
from fwfix.model.observation import RecordState

if TYPE_CHECKING:
    from conftest import Windows, Wish

RUN, LATER = "20261121T220003Z-4f2a", "20261122T220003Z-00b1"
RULE = f"fwfix-{RUN}-1"
LOCK = r"C:\ProgramData\fwfix\lock"
OPERATIONS = ("read", "write", "delete", "move")


def in_use(
    windows: "Windows",
    monkeypatch: pytest.MonkeyPatch,
    path: Callable[[str], bool],
    *,
    times: int = 10**6,
    operations: tuple[str, ...] = OPERATIONS,
) -> list[str]:
    """Let some files be open elsewhere, for so many tries; return what was tried."""
    tried: list[str] = []
    for name in operations:
        real = getattr(windows.host.files, name)
        monkeypatch.setattr(windows.host.files, name, _refusing(real, path, tried, times))
    return tried


def _refusing(
    real: Callable[..., object], path: Callable[[str], bool], tried: list[str], times: int
) -> Callable[..., object]:
    def attempt(at: str, *arguments: object, **options: object) -> object:
        if path(at) and len(tried) < times:
            tried.append(at)
            raise PermissionError(32, "The process cannot access the file", at)
        return real(at, *arguments, **options)

    return attempt


def around_files(windows: "Windows") -> list[str]:
    """Return the files beside the folder of records that have no business there after a run."""
    names = windows.host.files.names(LOCK.rpartition("\\")[0])
    return sorted(set(names) - {"index", "runs"})


def test_a_mark_that_cannot_be_read_as_one_does_not_stop_the_timer(windows: "Windows") -> None:
    windows.unconfirmed()
    windows.clock.ahead += 50
    mark = f"nobody {windows.clock.monotonic():.2f}".encode()
    for name in ("undoing", "busy"):
        windows.host.files.write(windows.file(name), mark, append=False)
    windows.clock.ahead += 11
    windows.wait(lambda: windows.state() is RecordState.REVERTED)
    assert windows.ours() == []


def test_a_damaged_description_of_the_run_does_not_stop_the_timer_after_a_boot(windows: "Windows") -> None:
    windows.unconfirmed()
    windows.host.files.write(windows.file("meta.json"), b'{"run_id":', append=False)
    windows.host.scheduler.power_off()
    off_since = windows.clock.now()
    windows.clock.ahead += 61
    windows.host.scheduler.power_on(off_since=off_since)
    windows.wait(lambda: windows.state() is RecordState.REVERTED)
    assert windows.ours() == []


@pytest.mark.parametrize("operations", [("write",), ("read",), ("delete",)])
def test_its_own_lock_never_stops_the_rollback_of_a_run_on_a_full_disk_or_otherwise(
    windows: "Windows", monkeypatch: pytest.MonkeyPatch, operations: tuple[str, ...]
) -> None:
    windows.unconfirmed()
    tried = in_use(windows, monkeypatch, lambda at: at.startswith(LOCK), times=2, operations=operations)
    answer = windows.rollback()
    assert (answer.ok, answer.state) == (True, RecordState.REVERTED), answer
    assert tried
    assert windows.ours() == []


def test_a_lock_that_cannot_be_read_is_not_ours(
    windows: "Windows", wish: "Wish", monkeypatch: pytest.MonkeyPatch
) -> None:
    windows.applied()
    second = windows.plan(wish("192.0.2.0/28"), run_id=LATER)
    windows.host.files.write(LOCK, b"20261122T220003Z-00b0", append=False)
    in_use(windows, monkeypatch, lambda at: at == LOCK)
    assert windows.arm(second).code == "locked"
    assert windows.state(LATER) is None


def test_a_list_of_replaced_rules_that_is_open_elsewhere_for_a_moment_is_read_all_the_same(
    windows: "Windows", wish: "Wish", monkeypatch: pytest.MonkeyPatch
) -> None:
    windows.applied()
    standing = windows.rules()
    windows.applied(wish("192.0.2.0/28"), run_id=LATER)
    tried = in_use(windows, monkeypatch, lambda at: at.endswith("\\replaced"), times=2)
    assert windows.rollback(LATER).ok
    assert len(tried) == 2
    assert windows.rules() == standing


def test_a_state_that_cannot_be_renamed_for_a_moment_is_renamed_then(
    windows: "Windows", monkeypatch: pytest.MonkeyPatch
) -> None:
    windows.applied()
    tried = in_use(
        windows, monkeypatch, lambda at: at.endswith("state.reverting"), times=2, operations=("move",)
    )
    assert windows.rollback().ok
    assert len(tried) == 2
    assert windows.state() is RecordState.REVERTED


def test_a_mark_that_was_not_written_whole_is_not_left_behind(
    windows: "Windows", monkeypatch: pytest.MonkeyPatch
) -> None:
    windows.applied()
    tried = in_use(windows, monkeypatch, lambda at: "\\undoing." in at, times=1, operations=("read",))
    assert windows.rollback().ok
    assert tried
    assert [name for name in windows.host.files.names(windows.file("")[:-1]) if "undoing" in name] == []
    assert around_files(windows) == []


def test_an_apply_that_is_late_leaves_a_confirmed_run_in_force(windows: "Windows", wish: "Wish") -> None:
    plan = windows.plan(wish(), wish(port=515))
    assert windows.arm(plan).ok

    def second_apply_is_faster() -> None:
        assert windows.apply(plan).ok
        assert windows.confirm(plan).ok

    windows.before["New-NetFirewallRule"] = [second_apply_is_faster]
    assert windows.apply(plan).code == "not-armed"
    assert windows.state() is RecordState.CONFIRMED
    assert len(windows.ours()) == 2


def test_a_rollback_whose_rename_failed_while_the_run_was_confirmed_takes_that_back(
    windows: "Windows", monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = windows.unconfirmed(seconds=300)
    in_use(windows, monkeypatch, lambda at: at.endswith("state.armed"), times=1, operations=("move",))

    def confirms() -> None:
        assert windows.confirm(plan).ok

    windows.before["Remove-NetFirewallRule"] = [confirms]
    assert windows.rollback().ok
    assert (windows.state(), windows.ours()) == (RecordState.REVERTED, [])


def cut_power(windows: "Windows") -> None:
    """Lose what was only in the cache of the disk, and boot."""
    assert isinstance(windows.host.files, DiskFiles)
    windows.host.files.cut_power()
    windows.host.reboot()


def test_a_run_outlives_a_power_cut_and_is_undone_by_the_boot(windows: "Windows", wish: "Wish") -> None:
    windows.applied()
    before = windows.rules()
    windows.unconfirmed(wish("192.0.2.0/28"), run_id=LATER)
    cut_power(windows)
    windows.wait(lambda: windows.tasks() == [])
    assert windows.state(LATER) is RecordState.REVERTED
    assert windows.rules() == before


def test_a_confirmation_outlives_a_power_cut(windows: "Windows") -> None:
    windows.applied()
    cut_power(windows)
    assert windows.state() is RecordState.CONFIRMED
    assert windows.ours() == [RULE]
    assert windows.rollback().ok
    assert windows.ours() == []
