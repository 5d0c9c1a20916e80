"""What every test gets: a clean environment, and throw-away hosts where it asks for them."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from fwfix.lab.linux import HostSpec, Lab, requirements

MakeLab = Callable[[Sequence[HostSpec]], Lab]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let golden files be rewritten on purpose."""
    parser.addoption("--update", action="store_true", help="rewrite the golden files")


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keep the developer's own settings, agent and keys out of every test; return the empty home."""
    for name in list(os.environ):
        if name.startswith(("FWFIX_", "SSH_", "XDG_")):
            monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    return home


@pytest.fixture(scope="session")
def lab_possible() -> None:
    """Skip where this machine cannot run a lab; in CI that is a failure."""
    if missing := requirements():
        reason = "no lab on this machine: " + "; ".join(missing)
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)


@pytest.fixture
def make_lab(lab_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeLab]:
    """Build labs for one test; they are removed after it, and also if its process is killed."""
    labs: list[Lab] = []

    def make(specs: Sequence[HostSpec]) -> Lab:
        lab = Lab(tmp_path_factory.mktemp("lab"), keep=False)
        labs.append(lab)
        lab.build(specs)
        return lab

    yield make
    for lab in labs:
        lab.close()


@pytest.fixture(scope="module")
def lab(lab_possible: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Three plain hosts for all tests of a module: leave them as they were found."""
    with Lab(tmp_path_factory.mktemp("lab"), keep=False) as lab:
        lab.build([HostSpec(name=f"demo-linux-{number}") for number in (1, 2, 3)])
        yield lab
