"""How the program ends where nothing of a fleet was at fault."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "inventories"


def fwfix(*arguments: str | Path, stdout: str | None = None) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "fwfix", *map(str, arguments)]
    with Path(stdout or "/dev/null").open("w", encoding="utf-8") as output:
        return subprocess.run(
            command, stdout=output, stderr=subprocess.PIPE, text=True, check=False, timeout=60
        )


def test_output_on_a_full_disk_is_no_bug_of_ours() -> None:
    ended = fwfix("inventory", "schema", stdout="/dev/full")
    assert ended.returncode == 1
    assert "No space left on device" in ended.stderr
    assert "bug" not in ended.stderr


@pytest.mark.parametrize(
    "option", ["--connect-timeout=0", "--connect-timeout=0s", "--expires=0", "--confirm-within=0"]
)
def test_no_time_at_all_is_a_usage_error(option: str) -> None:
    ended = fwfix("plan", "-i", EXAMPLES / "fleet", option)
    assert ended.returncode == 2
    assert option.split("=", maxsplit=1)[0] in ended.stderr
