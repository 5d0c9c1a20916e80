"""`fwfix demo` as a person or a program outside the repository uses it."""

import json
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from fwfix.lab.outside import Outside

FWFIX = (sys.executable, "-m", "fwfix")
OF_HOSTS = ("name", "platform", "address", "address6", "netns")

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab_possible")]


def run(*arguments: str, cwd: Path, timeout: float = 100) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*FWFIX, *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Path]:
    """A demo of two hosts that goes on; the default directory."""
    ended = run("demo", "--keep", "--linux", "2", "--windows", "0", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    yield tmp_path / "fwfix-demo"
    run("demo", "--clean", cwd=tmp_path)


def document(directory: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((directory / "demo.json").read_text())
    return found


def outside_of(demo: dict[str, Any]) -> Outside:
    return Outside(**demo["outside"])


def mine(directory: Path) -> tuple[list[str], str, list[int]]:
    """The namespaces, the interface and the processes that a demo noted in its record."""
    content = json.loads((directory / ".lab" / "record.json").read_text())
    return content["netns"], content["interface"], [pid for pid, _ in content["processes"]]


def left_of(noted: tuple[list[str], str, list[int]]) -> list[str]:
    netns, interface, pids = noted
    paths = [Path("/run/netns", name) for name in netns]
    paths.append(Path("/sys/class/net", interface))
    return [str(path) for path in paths if path.exists()] + [str(pid) for pid in pids if is_alive(pid)]


def is_alive(pid: int) -> bool:
    """Whether the process is more than a name that its parent has not asked about yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait_until_gone(
    noted: tuple[list[str], str, list[int]], directory: Path, *, patience: float = 40
) -> None:
    deadline = time.monotonic() + patience
    while left_of(noted) or directory.exists():
        assert time.monotonic() < deadline, (left_of(noted), directory.exists())
        time.sleep(0.02)


def test_the_demo_tells_the_main_job_and_leaves_nothing(tmp_path: Path) -> None:
    began = time.monotonic()
    ended = run("demo", "--linux", "2", "--dir", "stage", cwd=tmp_path)
    took = time.monotonic() - began
    assert ended.returncode == 0, (ended.stdout, ended.stderr)
    assert ended.stderr == ""
    assert "\x1b" not in ended.stdout
    shown = [line for line in ended.stdout.splitlines() if line.startswith("$ fwfix ")]
    assert [line.split()[2] for line in shown] == ["plan", "apply", "verify", "rollback", "apply", "status"]
    results = re.findall(r"demo-linux-\d +IPv4 (\w+) +IPv6 (\w+)", ended.stdout)
    seen = [ipv4 for ipv4, ipv6 in results if ipv4 == ipv6]
    assert len(seen) == len(results)
    assert seen[:6] == ["open"] * 2 + ["filtered"] * 2 + ["open"] * 2
    assert "3 applied" in ended.stdout
    assert "exactly as they were before" in ended.stdout
    assert "twins, not Windows" in ended.stdout
    assert ended.stdout.count("demo-windows-1  IPv4 filtered  IPv6 filtered") == 1
    assert took < 90  # 30 on a machine at rest
    assert list(tmp_path.iterdir()) == []


def test_nothing_to_build_and_contradictions_are_refused(tmp_path: Path) -> None:
    for arguments in (["--linux", "0", "--windows", "0"], ["--keep", "--clean"], ["--linux", "-1"]):
        ended = run("demo", *arguments, cwd=tmp_path)
        assert (ended.returncode, ended.stdout) == (2, ""), arguments
    assert list(tmp_path.iterdir()) == []


def test_keep_writes_the_inventory_and_the_addresses(kept: Path) -> None:
    demo = document(kept)
    assert set(demo) == {"hosts", "outside"}
    assert [host["name"] for host in demo["hosts"]] == ["demo-linux-1", "demo-linux-2"]
    assert all(tuple(host) == OF_HOSTS for host in demo["hosts"])
    assert set(demo["outside"]) == {"netns", "address", "address6"}
    for place in (*demo["hosts"], demo["outside"]):
        entered = subprocess.run(
            ["ip", "netns", "exec", place["netns"], "ip", "-o", "addr"], check=False, capture_output=True
        )
        assert place["address"].encode() in entered.stdout
    for path in kept.iterdir():
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    assert (kept / "demo-linux-1.password").read_text().strip() == (
        kept / "demo-linux-1.password"
    ).read_text()


def test_kept_hosts_are_open_and_untouched(kept: Path, tmp_path: Path) -> None:
    demo = document(kept)
    for host in demo["hosts"]:
        for address in (host["address"], host["address6"]):
            assert outside_of(demo).connect(address, 9100) == "open"
    ended = run("status", "-i", "fwfix-demo/inventory.yaml", "--json", cwd=tmp_path)
    assert [host["state"] for host in json.loads(ended.stdout)["hosts"]] == [None, None]


def test_kept_hosts_can_be_worked_on_without_accepting_anything(kept: Path, tmp_path: Path) -> None:
    options = ("-i", "fwfix-demo/inventory.yaml", "--json")
    state = ("--state-dir", "journal")
    planned = run(*state, "plan", *options, cwd=tmp_path)
    assert planned.returncode == 0
    hazards = [each for host in json.loads(planned.stdout)["hosts"] for each in host["hazards"]]
    assert [each for each in hazards if each["severity"] == "stop"] == []
    applied = run(*state, "apply", "--yes", *options, cwd=tmp_path)
    assert json.loads(applied.stdout)["summary"]["applied"] == 2
    demo = document(kept)
    assert {outside_of(demo).connect(host["address"], 9100) for host in demo["hosts"]} == {"filtered"}


def test_what_stays_running_holds_no_file_of_the_command(tmp_path: Path) -> None:
    line = f"{sys.executable} -m fwfix demo --keep --linux 1 --windows 0 2>&1 | cat"
    try:
        ended = subprocess.run(
            ["/bin/sh", "-c", line],
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=40,
            check=False,
        )
        assert b"1 host running" in ended.stdout
    finally:
        run("demo", "--clean", cwd=tmp_path)


def test_clean_removes_everything_and_does_no_harm_twice(kept: Path, tmp_path: Path) -> None:
    noted = mine(kept)
    assert len(left_of(noted)) > 4
    assert run("demo", "--clean", "--dir", str(kept), cwd=tmp_path).returncode == 0
    assert left_of(noted) == []
    assert not kept.exists()
    again = run("demo", "--clean", cwd=tmp_path)
    assert (again.returncode, again.stderr) == (0, "")


def test_clean_spares_what_a_user_put_into_the_directory(kept: Path, tmp_path: Path) -> None:
    (kept / "plan.json").write_text("mine")
    assert run("demo", "--clean", cwd=tmp_path).returncode == 0
    assert [path.name for path in kept.iterdir()] == ["plan.json"]


def test_a_second_demo_in_the_same_directory_is_refused_and_spares_the_first(
    kept: Path, tmp_path: Path
) -> None:
    ended = run("demo", "--keep", cwd=tmp_path)
    assert ended.returncode == 2
    assert "--clean" in ended.stderr
    demo = document(kept)
    assert outside_of(demo).connect(demo["hosts"][0]["address"], 9100) == "open"


def test_the_five_minutes_of_the_readme_work_as_written(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    chapter = readme.partition("## Five minutes")[2].partition("\n## ")[0]
    lines = [line.split()[1:] for line in chapter.splitlines() if line.startswith("fwfix ")]
    assert [words[0] for words in lines] == ["demo", "plan", "apply", "status", "rollback", "demo"]
    try:
        for words in lines:
            ended = run("--state-dir", "journal", *words, cwd=tmp_path)
            assert ended.returncode == 0, (words, ended.stdout, ended.stderr)
    finally:
        run("demo", "--clean", cwd=tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["journal"]


def start(arguments: Sequence[str], cwd: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*FWFIX, "demo", *arguments],
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def read_until(process: subprocess.Popen[str], text: str) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(text):
            return
    pytest.fail(f"the demo never said {text!r}")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("moment", ["1. ", "$ fwfix apply"])
def test_a_signal_during_the_demo_cleans_up(tmp_path: Path, number: signal.Signals, moment: str) -> None:
    with start(["--linux", "1", "--dir", "stage"], tmp_path) as process:
        read_until(process, moment)
        noted = mine(tmp_path / "stage")
        process.send_signal(number)
        _, said = process.communicate(timeout=40)
    assert process.returncode == 130
    assert "removing the hosts" in said
    assert left_of(noted) == []
    assert not (tmp_path / "stage").exists()


def test_a_killed_demo_removes_itself_and_its_command(tmp_path: Path) -> None:
    with start(["--linux", "1", "--dir", "stage"], tmp_path) as process:
        read_until(process, "$ fwfix apply")
        noted = mine(tmp_path / "stage")
        process.kill()
        process.communicate(timeout=40)  # ends only when the command that was shown has ended as well
    wait_until_gone(noted, tmp_path / "stage")


def test_clean_removes_what_a_keep_left_that_was_killed_while_building(tmp_path: Path) -> None:
    with start(["--linux", "12", "--keep"], tmp_path) as process:
        record = tmp_path / "fwfix-demo" / ".lab" / "record.json"
        deadline = time.monotonic() + 30
        while not record.exists() or not json.loads(record.read_text())["processes"]:
            assert time.monotonic() < deadline
        noted = mine(tmp_path / "fwfix-demo")
        process.kill()
        process.communicate(timeout=40)
    ended = run("demo", "--clean", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    wait_until_gone(noted, tmp_path / "fwfix-demo")
