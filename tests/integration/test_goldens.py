"""What we render is what the golden files say, and the real tools load every one of them.

Rewrite the files with `pytest tests/integration/test_goldens.py --update`, and read the difference.
"""

import shutil
import subprocess
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path

import pytest

from fwfix.model.observation import PublishedPort
from fwfix.model.policy import PROFILES, Action, Family, Protection, Protocol, Service
from fwfix.rendering.environment import Renderer
from fwfix.rendering.linux import LinuxContext, linux_scripts

GOLDENS = Path(__file__).parents[1] / "goldens"
RUN = "20261121T220003Z-4f2a"
SOURCES = (ip_network("10.0.5.0/24"), ip_network("10.0.6.9/32"), ip_network("fd00:5::/64"))
PUBLISHED = tuple(
    PublishedPort(protocol=Protocol.TCP, family=family, port=9100, target="172.17.0.2:80", covered=True)
    for family in Family
)


def protect(
    *services: Service, action: Action = Action.DROP, log: bool = False, allowed: bool = True
) -> tuple[Protection, ...]:
    sources = SOURCES if allowed else ()
    return tuple(Protection(service=each, allowed=sources, action=action, log=log) for each in services)


JETDIRECT = PROFILES["jetdirect"]
CASES: dict[str, tuple[tuple[Protection, ...], tuple[PublishedPort, ...]]] = {
    "jetdirect": (protect(*JETDIRECT), ()),
    "jetdirect-nobody": (protect(*JETDIRECT, allowed=False), ()),
    "bjnp-reject-log": (protect(*PROFILES["bjnp"], action=Action.REJECT, log=True), ()),
    "two-policies": (
        protect(*JETDIRECT) + protect(*PROFILES["lpd"], action=Action.REJECT, allowed=False),
        (),
    ),
    "published": (protect(*JETDIRECT), PUBLISHED),
}


def rendered(case: str, backend: str) -> dict[str, str]:
    """Return the rules of one case by file name."""
    protections, published = CASES[case]
    iptables = backend == "iptables"
    context = LinuxContext(
        run_id=RUN,
        backend="iptables" if iptables else "nft",
        protections=protections,
        families=tuple(Family),
        published=published,
        iptables="/usr/sbin/iptables" if iptables else "",
        ip6tables="/usr/sbin/ip6tables" if iptables else "",
        fwfix_version="0.0.0",
        desired="sha256:0",
    )
    scripts = linux_scripts(Renderer(), context)
    return {f"{case}.{name}": script.text for name, script in scripts.items() if name.startswith("rules.")}


@pytest.fixture
def netns(lab_possible: None) -> Iterator[str]:
    """A network namespace without a name, held by a process: its pid."""
    holder = subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE)
    own = Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{holder.pid}/ns/net").readlink() == own:
        assert time.monotonic() < deadline, "no namespace was made"
    yield str(holder.pid)
    assert holder.stdin is not None
    holder.stdin.close()
    holder.wait(10)


def run(netns: str, *argv: str, text: str = "") -> str:
    tool = shutil.which(argv[0], path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert tool is not None, f"{argv[0]} is not installed"
    done = subprocess.run(
        ["nsenter", "--net", "--target", netns, tool, *argv[1:]],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (argv, done.stderr, text)
    return done.stdout


@pytest.mark.parametrize("backend", ["iptables", "nft"])
@pytest.mark.parametrize("case", CASES)
def test_the_rules_are_as_the_golden_file_says(
    case: str, backend: str, request: pytest.FixtureRequest
) -> None:
    for name, text in rendered(case, backend).items():
        path = GOLDENS / name
        if request.config.getoption("--update"):
            path.write_text(text)
        assert text == path.read_text()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(("suffix", "tool"), [("v4", "iptables"), ("v6", "ip6tables")])
def test_iptables_loads_every_golden_and_lists_it_word_for_word(
    case: str, suffix: str, tool: str, netns: str
) -> None:
    text = (GOLDENS / f"{case}.rules.{suffix}").read_text()
    empty = "*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n" if CASES[case][1] else "*filter\nCOMMIT\n"
    run(netns, f"{tool}-restore", "--noflush", text=empty)
    run(netns, f"{tool}-restore", "--noflush", text=text)
    listed = {line for line in run(netns, f"{tool}-save").splitlines() if line.startswith("-A")}
    wanted = {
        line.replace("-I INPUT 1 ", "-A INPUT ").replace("-I DOCKER-USER 1 ", "-A DOCKER-USER ")
        for line in text.splitlines()
        if line.startswith("-")
    }
    assert listed == wanted


@pytest.mark.parametrize("case", CASES)
def test_nft_loads_every_golden_with_every_rule(case: str, netns: str) -> None:
    text = (GOLDENS / f"{case}.rules.nft").read_text()
    run(netns, "nft", "-f", "-", text=text)
    listed = run(netns, "nft", "list", "table", "inet", "fwfix")
    assert listed.count('comment "fwfix:') == text.count('comment "fwfix:')
    run(netns, "nft", "delete", "table", "inet", "fwfix")


def test_there_is_no_golden_that_nothing_renders() -> None:
    known = {name for case in CASES for backend in ("iptables", "nft") for name in rendered(case, backend)}
    assert {path.name for path in GOLDENS.iterdir()} == known
