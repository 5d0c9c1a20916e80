"""Windows twins whose controller dies, whose way in changes, or whose password is wrong."""

import json
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from fwfix.lab.windows.twin import HTTPS, Twin, TwinSpec
from fwfix.lab.windows.twin_network import Namespace

if TYPE_CHECKING:
    from conftest import Controller, Started

    from fwfix.lab.linux import HostSpec, Lab

pytestmark = pytest.mark.lab

PASSWORD = "correct horse"
RUNS = r"C:\ProgramData\fwfix\runs"
SOON = ("--confirm-within", "12s")
# For a moment that comes after the proof: time enough for it on a busy machine.
LATE = ("--confirm-within", "60s")
# What the controller says, or what the host shows, when the controller is killed.
MOMENTS = {
    "said-observe": ": observe",
    "said-arm": ": arm",
    "said-apply": ": apply",
    "said-verify": ": verify",
    "said-confirm": ": confirm",
    "saw-arming": "state.arming",
    "saw-marker": "rehearsed",
    "saw-armed": "state.armed",
    "saw-rules": "after.json",
    "saw-confirmed": "state.confirmed",
}
MAY_BE_CONFIRMED = {"said-confirm", "saw-confirmed"}


@dataclass
class Site:
    """Twins in this very process, and a controller in one of its own."""

    folder: Path
    fwfix: "Controller"
    lab: "Lab"
    twins: dict[str, Twin] = field(default_factory=dict)
    running: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        (self.folder / "password").touch(0o600)
        self.tell(PASSWORD)

    def tell(self, password: str) -> None:
        """Give the controller a password."""
        (self.folder / "password").write_text(password)

    def start(self, names: Sequence[str]) -> None:
        """Start twins and write the inventory for them."""
        hosts = {}
        for name in names:
            member = self.lab.network.join(name)
            spec = TwinSpec(
                name=name, netns=member.netns, cidr=member.cidr, cidr6=member.cidr6, password=PASSWORD
            )
            self.twins[name] = self.running.enter_context(Twin(spec))
            hosts[name] = {"address": member.address, "platform": "windows"}
        winrm = {"user": "Administrator", "scheme": "http", "password": {"file": "password"}}
        wanted = {
            "version": 1,
            "defaults": {"winrm": winrm, "policy": "printing"},
            "policies": {"printing": {"ports": ["jetdirect"], "allow_from": [*self.lab.network.strangers]}},
            "hosts": hosts,
        }
        self.fwfix.inventory.write_text(yaml.safe_dump(wanted))

    def close(self) -> None:
        self.running.close()

    def records(self, name: str) -> dict[str, set[str]]:
        """What lies in the record of every run on a host."""
        files = self.twins[name].host.files
        if not files.is_folder(RUNS):
            return {}
        return {run: set(files.names(f"{RUNS}\\{run}")) for run in files.names(RUNS)}

    def state(self, name: str) -> str:
        """The state of the only run of a host; nothing where there is none."""
        found = [each for names in self.records(name).values() for each in names if each.startswith("state.")]
        return found[0].partition(".")[2] if found else ""

    def rules(self, name: str) -> dict[str, str]:
        return dict(self.twins[name].host.firewall.registry(group=False))

    def is_quiet(self, name: str) -> bool:
        """Whether nothing of a run works on a host any more."""
        return not self.twins[name].host.scheduler.tasks()

    def is_open(self, name: str) -> bool:
        """Whether the port is open in both families."""
        spec = self.twins[name].spec
        addresses = [cidr.partition("/")[0] for cidr in (spec.cidr, spec.cidr6)]
        return {self.lab.outside.connect(address, 9100, timeout=0.4) for address in addresses} == {"open"}

    def await_moment(self, started: "Started", moment: str) -> None:
        """Wait until a controller should die."""
        text = MOMENTS[moment]
        if moment.startswith("said"):
            self.fwfix.wait_for(
                lambda: any(line.endswith(text) for line in started.lines),
                f"{moment} of {started}",
                patience=60,
            )
        else:
            self.fwfix.wait_for(
                lambda: any(text in names for names in self.records(moment).values()), moment, patience=60
            )


MakeSite = Callable[..., Site]


@pytest.fixture
def make_windows(
    make_lab: "Callable[[Sequence[HostSpec]], Lab]", controller: "Controller", tmp_path: Path
) -> Iterator[MakeSite]:
    """Return a maker of sites with twins."""
    made: list[Site] = []

    def make(*names: str) -> Site:
        site = Site(folder=tmp_path, fwfix=controller, lab=make_lab([]))
        made.append(site)
        site.start(names)
        return site

    yield make
    for site in made:
        site.close()


@pytest.mark.timeout(400)
def test_a_controller_killed_at_any_moment_leaves_every_twin_confirmed_or_as_it_was(
    make_windows: MakeSite,
) -> None:
    site = make_windows(*MOMENTS)
    before = {name: site.rules(name) for name in MOMENTS}
    for moment in MOMENTS:
        within = LATE if moment in MAY_BE_CONFIRMED else SOON
        started = site.fwfix.start("apply", "-l", moment, *within)
        site.await_moment(started, moment)
        started.kill()
        assert started.process.returncode == -signal.SIGKILL
    ended_well = {}
    for name in MOMENTS:
        site.fwfix.wait_for(
            lambda name=name: site.state(name) in {"", "confirmed", "reverted"},
            f"the end of {name}",
            patience=120,
        )
        site.fwfix.wait_for(lambda name=name: site.is_quiet(name), f"the end of the task of {name}")
        ended_well[name] = site.state(name)
        if ended_well[name] == "confirmed":
            assert name in MAY_BE_CONFIRMED
            assert not site.is_open(name)
        else:
            assert site.rules(name) == before[name], name
            assert site.is_open(name), name
    assert ended_well["saw-confirmed"] == "confirmed"
    assert ended_well["saw-rules"] == ended_well["said-verify"] == "reverted"
    assert ended_well["said-observe"] == ""
    recovered = site.fwfix.run("runs", "recover", code=3)
    said = {entry["name"]: entry["outcome"] for entry in recovered.document["hosts"]}
    truth = {"confirmed": {"applied"}, "reverted": {"reverted"}, "": {"skipped", "failed", "reverted"}}
    for name, outcome in said.items():
        assert outcome in truth[ended_well[name]], (name, outcome, ended_well[name])
    missed = {name for name, ended in ended_well.items() if ended} - set(said)
    # What was confirmed may have been written down before the controller died.
    assert missed <= MAY_BE_CONFIRMED
    for name in missed:
        (run_id,) = site.records(name)
        assert site.fwfix.run("runs", "show", run_id, code=0).outcome(name) == "applied"
    assert site.fwfix.run("runs", "recover", code=0).document["hosts"] == []


def test_recover_reverts_at_once_what_a_killed_controller_left_armed_on_a_twin(
    make_windows: MakeSite,
) -> None:
    site = make_windows("saw-rules")
    before = site.rules("saw-rules")
    started = site.fwfix.start("apply", "--confirm-within", "100s")
    site.await_moment(started, "saw-rules")
    started.kill()
    assert site.state("saw-rules") == "armed"
    told = site.fwfix.run("runs", "recover", code=3)
    assert (told.outcome(), told.reason()) == ("reverted", "interrupted")
    assert told.document["started_at"] <= told.host()["steps"][0]["at"]
    assert site.rules("saw-rules") == before
    assert site.is_open("saw-rules")
    site.fwfix.wait_for(lambda: site.is_quiet("saw-rules"), "the end of the task")


def test_a_run_that_somebody_undoes_while_it_is_verified_says_so(make_windows: MakeSite) -> None:
    site = make_windows("undone")
    before = site.rules("undone")
    started = site.fwfix.start("apply")
    site.await_moment(started, "said-verify")
    started.send(signal.SIGSTOP)  # or it may be faster than the other, and confirm
    (run_id,) = site.records("undone")
    other = replace(site.fwfix, state_dir=site.folder / "other", started=[])
    assert other.rollback(run_id, "-i", str(other.inventory)).outcome() == "rolled_back"
    started.send(signal.SIGCONT)
    ended = started.end()
    assert (ended.code, ended.outcome(), ended.reason()) == (3, "reverted", "lost-race")
    assert site.rules("undone") == before


def test_a_twin_on_which_winrm_listens_elsewhere_than_planned_is_skipped(make_windows: MakeSite) -> None:
    site = make_windows("changed", "same")
    plan = site.folder / "plan.json"
    site.fwfix.run("plan", "-o", str(plan), code=0)
    namespace = Namespace(site.twins["changed"].spec.netns)
    site.running.callback(namespace.close)
    for each in namespace.listen(HTTPS):
        site.running.callback(each.close)
        each.listen()
    ended = site.fwfix.run("apply", str(plan), code=3)
    assert (ended.outcome("changed"), ended.reason("changed")) == ("skipped", "stale-plan")
    assert ended.outcome("same") == "applied"
    assert site.records("changed") == {}


def test_a_wrong_password_costs_the_whole_fleet_one_logon(make_windows: MakeSite) -> None:
    site = make_windows("win-1", "win-2", "win-3", "win-4")
    site.tell("wrong")
    ended = site.fwfix.run("plan")
    assert {entry["outcome"] for entry in ended.document["hosts"]} == {"failed"}
    logons = [each for twin in site.twins.values() for each in twin.server.book.logons]
    assert len(logons) == 1
    assert not logons[0].accepted
    site.tell(PASSWORD)
    site.fwfix.run("plan", code=0)


def test_a_rollback_that_a_twin_refuses_says_what_to_do_about_this_very_host(make_windows: MakeSite) -> None:
    site = make_windows("pos-1")
    twin = site.twins["pos-1"].host
    older = site.fwfix.apply().run_id

    def refused() -> tuple[str, str]:
        ended = site.fwfix.rollback(older, code=3)
        assert ended.outcome() == "failed"
        return ended.reason(), ended.host()["reason"]["next"]

    site.fwfix.rewrite(lambda content: content["policies"]["printing"].update(allow_from=["198.51.100.7"]))
    newer = site.fwfix.apply().run_id
    assert refused() == ("superseded", f"fwfix rollback {newer} -l pos-1")
    site.fwfix.rollback(newer)

    # Somebody else's run is at work: to undo that one is no way out.
    other = "20261121T220003Z-4f2a"
    meta = json.loads(twin.files.read(f"{RUNS}\\{older}\\meta.json"))
    twin.files.make_folder(f"{RUNS}\\{other}")
    twin.files.write(f"{RUNS}\\{other}\\state.arming", b"", append=False)
    lock = f"{other} {float(meta['deadline']) + 9000:.2f} {meta['boot_id']}"
    twin.files.write(RUNS.removesuffix("runs") + "lock", lock.encode(), append=False)
    code, way_out = refused()
    assert (code, "fwfix status" in way_out, "rollback" in way_out) == ("locked", True, False)

    twin.facts.machine_id = "00000000-0000-4000-8000-000000000000"
    assert refused() == ("foreign-record", r"remove %ProgramData%\fwfix on the host if it is a clone")


def test_nothing_is_said_of_packets_that_nobody_counts(make_windows: MakeSite) -> None:
    site = make_windows("pos-1", "pos-2")
    ended = site.fwfix.apply("--waves", "1,100%")
    assert "wave 2 of 2" in ended.stderr
    assert "turned away" not in ended.stderr
