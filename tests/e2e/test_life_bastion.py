"""Hosts that only a jump host reaches: its sshd tests their ports where it runs nothing for us."""

import json
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from fwfix.lab.linux import HostSpec, Listener

if TYPE_CHECKING:
    from conftest import Ended, MakeSite, Site

pytestmark = pytest.mark.lab

POLICY = "block-raw-printing"
Build = Callable[..., "Site"]


@pytest.fixture
def build(make_site: "MakeSite", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Make a bastion that only ssh_config knows, and a host behind it."""

    def make(
        *, sshd_config: str = "", jump: str | None = "bastion", listeners: tuple[Listener, ...]
    ) -> "Site":
        site = make_site(
            HostSpec(name="bastion", sshd_config=sshd_config),
            HostSpec(name="gw", behind="bastion", listeners=listeners),
        )
        bastion, folder = site.lab["bastion"], site.fwfix.inventory.parent
        config = tmp_path / "ssh_config"
        proxy = "" if jump else f"Host {site.lab['gw'].address}\nProxyJump bastion\n"
        config.write_text(
            f"Host bastion\nHostName {bastion.address}\nUser {bastion.user}\nIdentityFile {folder}/identity\n"
            f"UserKnownHostsFile {folder}/known_hosts\n{proxy}",
            encoding="utf-8",
        )
        wrapper = tmp_path / "bin" / "ssh"
        wrapper.parent.mkdir()
        wrapper.write_text(f'#!/bin/sh\nexec /usr/bin/ssh -F {config} "$@"\n', encoding="utf-8")
        wrapper.chmod(0o755)
        monkeypatch.setenv("PATH", str(wrapper.parent), prepend=":")

        def forget_bastion(content: dict[str, Any]) -> None:
            del content["hosts"]["bastion"]
            ssh = content["hosts"]["gw"]["ssh"]
            del ssh["jump"]
            if jump is not None:
                ssh["jump"] = jump

        site.fwfix.rewrite(forget_bastion)
        return site

    return make


def probes(ended: "Ended", *, since: str = "bastion") -> dict[tuple[str, str], Mapping[str, Any]]:
    return {
        (probe["phase"], probe["family"]): probe for probe in ended.host()["probes"] if probe["from"] == since
    }


@pytest.mark.parametrize("jump", ["bastion", None], ids=["jump", "ProxyJump"])
def test_a_jump_host_that_only_ssh_config_knows_proves_the_block(build: Build, jump: str | None) -> None:
    site = build(jump=jump, listeners=(Listener(),))
    gateway = site.lab["gw"]
    before = site.rules(gateway)
    ended = site.fwfix.apply()
    assert ended.outcome() == "applied"
    seen = probes(ended)
    assert seen["before", "ipv4"]["result"] == "open"
    assert (seen["after", "ipv4"]["result"], seen["after", "ipv4"]["expected"]) == ("filtered", "blocked")
    assert seen["after", "ipv4"]["proof"].startswith("counter +")
    assert not any(
        "counter" in probe.get("proof", "") for probe in probes(ended, since="controller").values()
    )
    assert site.fwfix.run("verify", code=0).outcome() == "ok"
    assert site.fwfix.rollback().outcome() == "rolled_back"
    assert site.rules(gateway) == before
    assert gateway.listener_bytes() == b""


def test_a_jump_host_that_still_gets_in_is_a_reason_to_revert(build: Build) -> None:
    site = build(listeners=(Listener(), Listener(port=9101, process="proxy")))
    gateway = site.lab["gw"]
    before = site.rules(gateway).split()
    redirect = "iptables -t nat -{} PREROUTING -p tcp --dport 9100 -j REDIRECT --to-ports 9101"
    started = site.fwfix.start("apply")
    started.await_step("arm")
    site.sh(redirect.format("A"), gateway)
    ended = started.end()
    assert (ended.code, ended.outcome(), ended.reason()) == (3, "reverted", "still-open")
    after = probes(ended)["after", "ipv4"]
    assert (after["result"], after["expected"]) == ("open", "blocked")
    site.sh(redirect.format("D"), gateway)
    assert site.rules(gateway).split() == before


@pytest.mark.parametrize("jump", ["bastion", None], ids=["jump", "ProxyJump"])
def test_a_jump_host_that_is_allowed_keeps_access(build: Build, jump: str | None) -> None:
    site = build(jump=jump, listeners=(Listener(),))
    gateway = site.lab["gw"]
    come_from = site.sh(
        f"ip -4 route get {gateway.address} | sed -n 's/.* src \\([0-9.]*\\).*/\\1/p'", site.lab["bastion"]
    ).strip()

    def allow(content: dict[str, Any]) -> None:
        content["policies"][POLICY]["allow_from"] = [come_from]

    site.fwfix.rewrite(allow)
    # We are not allowed: whether we reach the host directly, only verify shows.
    assert not {"unproven", "controller-is-allowed"} & {
        hazard["code"] for hazard in site.fwfix.run("plan").host()["hazards"]
    }
    ended = site.fwfix.apply("--accept", "unproven")
    assert ended.outcome() == "applied"
    after = probes(ended)["after", "ipv4"]
    assert (after["result"], after["expected"]) == ("open", "open")


def test_without_any_proof_by_packets_a_host_is_applied_only_where_that_is_accepted(build: Build) -> None:
    """The sshd of the jump host forwards to SSH alone, and nobody else reaches the host."""
    site = build(sshd_config="PermitOpen *:22", listeners=(Listener(),))
    gateway = site.lab["gw"]
    before = site.rules(gateway)
    ended = site.fwfix.apply(code=3)
    assert (ended.outcome(), ended.reason()) == ("reverted", "unproven")
    assert site.rules(gateway) == before
    assert probes(ended) == {}
    accepted = site.fwfix.apply("--accept", "unproven")
    assert accepted.outcome() == "applied"
    assert {probe.get("proof") for probe in accepted.host()["probes"]} <= {None, "structure"}


def test_a_jump_host_of_the_inventory_that_opens_no_session_lets_its_sshd_try(make_site: "MakeSite") -> None:
    site = make_site(
        HostSpec(name="bastion", sshd_config="MaxSessions 0"), HostSpec(name="gw", behind="bastion")
    )
    ended = site.fwfix.apply("-l", "gw")
    assert ended.outcome() == "applied"
    seen = probes(ended)
    assert seen["before", "ipv4"]["result"] == "open"
    assert seen["after", "ipv4"]["proof"].startswith("counter +")


def test_a_rollback_from_the_journal_finds_the_jump_host_that_had_nothing_to_change(
    make_site: "MakeSite",
) -> None:
    site = make_site(HostSpec(name="bastion"), HostSpec(name="gw", behind="bastion"))

    def protect_nothing(content: dict[str, Any]) -> None:
        content["hosts"]["bastion"]["policy"] = []

    site.fwfix.rewrite(protect_nothing)
    applied = site.fwfix.apply()
    assert {host["name"]: host["outcome"] for host in applied.document["hosts"]} == {
        "bastion": "noop",
        "gw": "applied",
    }
    done = subprocess.run(
        site.fwfix.bare("rollback", "--yes", "--json"),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    hosts = json.loads(done.stdout)["hosts"]
    assert [(host["name"], host["outcome"]) for host in hosts] == [("gw", "rolled_back")], done.stderr
