"""Linux and Windows hosts in one run, through the installed command and the twins of the demo."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fwfix.lab.outside import Outside

pytestmark = [pytest.mark.lab, pytest.mark.usefixtures("lab_possible")]


class Site:
    """A kept demo with both platforms, and the command on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ended = self.run("demo", "--keep", "--linux", "1", "--windows", "2")
        assert ended.returncode == 0, ended.stderr
        self.demo = json.loads((folder / "fwfix-demo" / "demo.json").read_text())

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "fwfix", *arguments],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def fwfix(self, *arguments: str, code: int = 0) -> Any:  # noqa: ANN401 - JSON
        """Run a command on the inventory of the demo; return its document."""
        options = ("-i", "fwfix-demo/inventory.yaml", "--json")
        ended = self.run("--state-dir", "journal", *arguments, *options)
        assert ended.returncode == code, (ended.stdout, ended.stderr)
        return json.loads(ended.stdout)

    def allow(self, *networks: str) -> None:
        """Ask for another policy from now on."""
        path = self.folder / "fwfix-demo" / "inventory.yaml"
        inventory = yaml.safe_load(path.read_text())
        for policy in inventory["policies"].values():
            policy["allow_from"] = list(networks)
        path.write_text(yaml.safe_dump(inventory))

    def seen(self) -> set[str]:
        """How another client finds every port in both families."""
        outside = Outside(**self.demo["outside"])
        return {
            outside.connect(host[family], 9100)
            for host in self.demo["hosts"]
            for family in ("address", "address6")
        }

    def clean(self) -> None:
        self.run("demo", "--clean")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    yield made
    made.clean()


def outcomes(document: Any) -> set[str]:  # noqa: ANN401 - JSON
    return {host["outcome"] for host in document["hosts"]}


def test_both_platforms_go_through_one_run_and_back(site: Site) -> None:
    planned = site.fwfix("plan")
    assert outcomes(planned) == {"change"}
    for host in planned["hosts"]:
        said = {(each["code"], each["severity"]) for each in host["hazards"]}
        # Every twin has a rule of its own that lets everybody print.
        assert (("other-rule-on-port", "warn") in said) is (host["platform"] == "windows")
    assert site.seen() == {"open"}
    assert outcomes(site.fwfix("apply", "--yes")) == {"applied"}
    assert site.seen() == {"filtered"}
    assert outcomes(site.fwfix("verify")) == {"ok"}
    assert outcomes(site.fwfix("apply", "--yes")) == {"noop"}
    assert {host["state"] for host in site.fwfix("status")["hosts"]} == {"confirmed"}
    assert outcomes(site.fwfix("rollback", "--yes")) == {"rolled_back"}
    assert site.seen() == {"open"}


@pytest.mark.timeout(400)
def test_a_run_that_replaces_another_is_proven_on_both_platforms(site: Site) -> None:
    first = site.fwfix("apply", "--yes")["run_id"]
    site.allow("198.51.100.0/24", "2001:db8:ffff::/64")
    second = site.fwfix("apply", "--yes")
    assert outcomes(second) == {"applied"}
    assert all(
        any(probe.get("proof") for probe in host["probes"] if probe["phase"] == "after")
        for host in second["hosts"]
    )
    assert site.seen() == {"filtered"}
    assert outcomes(site.fwfix("rollback", second["run_id"], "--yes")) == {"rolled_back"}
    assert site.seen() == {"filtered"}
    assert outcomes(site.fwfix("rollback", first, "--yes")) == {"rolled_back"}
    assert site.seen() == {"open"}


def test_a_saved_plan_is_applied_to_both_platforms_as_it_was_made(site: Site) -> None:
    site.fwfix("plan", "-o", "plan.json")
    ended = site.run("--state-dir", "journal", "apply", "plan.json", "--yes", "--json")
    assert ended.returncode == 0, (ended.stdout, ended.stderr)
    assert outcomes(json.loads(ended.stdout)) == {"applied"}
    assert site.seen() == {"filtered"}
