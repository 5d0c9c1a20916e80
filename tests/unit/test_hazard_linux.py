"""Hazards of Linux hosts that only an init system can show."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from fwfix.drivers.backend import Backend
from fwfix.drivers.linux_facts import LinuxFacts, Unit
from fwfix.drivers.linux_hazards import HAZARDS, LinuxCircumstances, find_linux_hazards
from fwfix.model.hazard import STOP_CODES, WARN_CODES
from fwfix.model.host import Platform
from fwfix.model.observation import ManagementPath, Observation, PublishedPort
from fwfix.model.policy import Family, Protocol


def codes(
    *units: Unit,
    init: str = "systemd",
    backend: Backend = Backend.IPTABLES,
    processes: Sequence[str] = (),
    traps: Sequence[str] = (),
    files: Sequence[str] = (),
    cron: Sequence[str] = (),
    published: Sequence[PublishedPort] = (),
    tracks_sessions: bool = True,
) -> set[str]:
    """Return the codes of a host without addresses or ports."""
    facts = LinuxFacts(
        units=units,
        init=init,
        processes=frozenset(processes),
        traps=tuple(traps),
        config_management=tuple(files),
        cron=tuple(cron),
        tracks_sessions=tracks_sessions,
    )
    observation = Observation(
        platform=Platform.LINUX,
        identity="machine",
        hostname="gw",
        boot_id="boot",
        uptime=timedelta(hours=1),
        management=ManagementPath(peer=None, port=22),
        facts=facts,
    )
    seen = LinuxCircumstances(
        observation=observation, facts=facts, backend=backend, protections=(), published=tuple(published)
    )
    return {hazard.code for hazard in find_linux_hazards(seen)}


def unit(name: str, *, active: bool = True, enabled: bool = True) -> Unit:
    return Unit(name=name, active=active, enabled=enabled)


def test_every_code_is_one_of_the_stable_ones() -> None:
    assert set(HAZARDS) <= STOP_CODES | WARN_CODES


@pytest.mark.parametrize(
    "name", ["netfilter-persistent", "iptables", "nftables", "firewalld", "ufw", "docker", "fail2ban"]
)
def test_our_boot_unit_follows_those_that_the_init_system_restarts(name: str) -> None:
    assert codes(unit(name)) == set()


@pytest.mark.parametrize("name", ["netfilter-persistent", "iptables", "nftables"])
def test_without_an_init_system_nothing_follows_them(name: str) -> None:
    assert codes(unit(name), init="none") == {"not-persistent", "firewall-manager-would-wipe"}


@pytest.mark.parametrize("name", ["csf", "lfd", "shorewall", "shorewall6", "ferm"])
def test_those_that_flush_by_themselves_stop_the_host(name: str) -> None:
    assert codes(unit(name, enabled=False)) == {"firewall-manager-would-wipe"}
    assert codes(unit(name, active=False)) == {"firewall-manager-would-wipe"}
    assert codes(unit(name, active=False, enabled=False)) == set()


def test_firewalld_wipes_what_is_not_in_a_table_of_its_own() -> None:
    assert codes(processes=["firewalld"]) == {"firewall-manager-would-wipe"}
    assert codes(processes=["firewalld"], backend=Backend.NFT) == set()


@pytest.mark.parametrize(
    ("line", "stops"),
    [
        ('/etc/conf.d/iptables:SAVE_ON_STOP="yes"', True),
        ("/etc/sysconfig/iptables-config:IPTABLES_SAVE_ON_RESTART=yes", True),
        ("/etc/sysconfig/ip6tables-config:IP6TABLES_SAVE_ON_STOP='yes'", True),
        ('/etc/conf.d/iptables:SAVE_ON_STOP="no"', False),
        ('/etc/conf.d/iptables:#SAVE_ON_STOP="yes"', False),
        ("/etc/conf.d/iptables:# SAVE_ON_STOP=yes saves the rules", False),
    ],
)
def test_only_a_setting_that_is_on_saves_our_rules(line: str, stops: bool) -> None:  # noqa: FBT001
    assert codes(traps=[line]) == ({"save-on-stop"} if stops else set())


def test_a_service_that_is_switched_off_saves_nothing() -> None:
    line = '/etc/conf.d/iptables:SAVE_ON_STOP="yes"'
    assert codes(unit("iptables", active=False, enabled=False), traps=[line]) == set()
    assert codes(unit("iptables", active=False), traps=[line]) == {"save-on-stop"}


def test_configuration_management_counts_unless_it_is_switched_off() -> None:
    conf = "/etc/puppetlabs/puppet/puppet.conf"
    assert codes(files=[conf]) == {"config-management-would-wipe"}
    assert codes(unit("puppet", active=False, enabled=False), files=[conf]) == set()
    assert codes(unit("pe-puppet", active=False), files=[conf]) == {"config-management-would-wipe"}
    assert codes(unit("salt-minion")) == {"config-management-would-wipe"}
    assert codes(cron=["*/30 * * * * root ansible-pull -U https://git"]) == {"config-management-would-wipe"}


@pytest.mark.parametrize(
    "line",
    [
        "*/5 * * * * root iptables-restore < /etc/fw",
        "*/5 * * * * root nft -f /etc/nftables.conf",
        "@daily root netfilter-persistent restart",
        "@daily root iptables-apply /etc/fw",
    ],
)
def test_a_cron_job_that_loads_a_whole_file_wipes(line: str) -> None:
    assert codes(cron=[line]) == {"firewall-manager-would-wipe"}


@pytest.mark.parametrize(
    "line", ["@daily root iptables-restore -n < /etc/more", "@daily root netfilter-persistent save"]
)
def test_a_cron_job_that_only_adds_or_saves_does_not(line: str) -> None:
    assert codes(cron=[line]) == set()


def test_where_no_tracked_connection_is_shown_the_users_of_a_published_port_are_not_known() -> None:
    published = PublishedPort(
        protocol=Protocol.TCP, family=Family.IPV4, port=9100, target="172.17.0.2:80", covered=True
    )
    assert "sessions-unknown" in codes(published=[published], tracks_sessions=False)
    assert "sessions-unknown" not in codes(published=[published])
    assert "sessions-unknown" not in codes(tracks_sessions=False)
