"""What every test gets: a clean environment, and throw-away hosts where it asks for them."""

import os
import resource
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from fwfix.lab.linux import HostSpec, Lab, requirements
from fwfix.lab.windows.powershell import Command, Edition, Engine, Host, NetType
from fwfix.lab.windows.pwsh import PwshMissingError, RealEngine, find_pwsh

MakeLab = Callable[[Sequence[HostSpec]], Lab]
FilesOfAtMost = Callable[[int], AbstractContextManager[None]]
MakeEngine = Callable[..., Engine | RealEngine]
# Every test gets an environment without FWFIX_ variables; this is the one that the tests were started with.
_AT_START = dict(os.environ)


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


@pytest.fixture
def files_of_at_most() -> FilesOfAtMost:
    """Return what lets writes beyond so many bytes fail, as on a full disk; also in programs begun then."""

    @contextmanager
    def limited(size: int) -> Iterator[None]:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    return limited


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs the real engine where there is none: from here, so that all of them share one line."""
    engine = item.callspec.params.get("make_engine") if hasattr(item, "callspec") else None
    if engine == "pwsh" or "pwsh" in getattr(item, "fixturenames", ()):
        try:
            found = find_pwsh(_AT_START)
        except PwshMissingError:
            return
        if found is None:
            pytest.skip("no pwsh: set FWFIX_PWSH to a PowerShell 7 to run these on the real engine as well")


@pytest.fixture(scope="session")
def pwsh() -> Path:
    """Return the real engine; FWFIX_PWSH that names none is an error."""
    try:
        found = find_pwsh(_AT_START)
    except PwshMissingError as exc:
        pytest.fail(str(exc), pytrace=False)
    assert found is not None, "the test has been skipped"
    return found


@pytest.fixture(params=["small", "pwsh"])
def make_engine(request: pytest.FixtureRequest, tmp_path: Path) -> MakeEngine:
    """Return a maker of engines: a test that asks for it runs on the small engine, then on the real one."""
    if request.param == "small":
        return Engine
    program: Path = request.getfixturevalue("pwsh")
    disk = tmp_path / "disk"
    disk.mkdir()

    def real(
        *, host: Host, edition: Edition, commands: Iterable[Command] = (), types: Iterable[NetType] = ()
    ) -> RealEngine:
        # Which version the stand-ins are of is theirs to say; the language is always that of PowerShell 7.
        del edition
        return RealEngine(pwsh=program, folder=disk, host=host, commands=tuple(commands), types=tuple(types))

    return real


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
