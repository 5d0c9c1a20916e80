"""The scripts of a Linux run follow from the plan alone, and hold nothing that B1-B20 warn of."""

import re
import subprocess
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwfix.errors import RenderError
from fwfix.model.observation import PublishedPort
from fwfix.model.policy import Action, Family, Network, Protection, Protocol, Service
from fwfix.rendering.environment import Renderer
from fwfix.rendering.linux import LinuxContext, linux_scripts, observe_script, rollback_script
from fwfix.rendering.rules import make_rules

RUN = "20261121T220003Z-4f2a"
BOTH = (Family.IPV4, Family.IPV6)


def protection(
    first: int = 9100,
    last: int | None = None,
    *,
    allowed: tuple[str, ...] = (),
    protocol: Protocol = Protocol.TCP,
    action: Action = Action.DROP,
    log: bool = False,
) -> Protection:
    return Protection(
        service=Service(protocol=protocol, first=first, last=last or first),
        allowed=tuple(ip_network(each) for each in allowed),
        action=action,
        log=log,
    )


def published(
    port: int = 9100, *, target: str = "172.17.0.2:80", family: Family = Family.IPV4
) -> PublishedPort:
    return PublishedPort(protocol=Protocol.TCP, family=family, port=port, target=target, covered=True)


def scripts(*protections: Protection, **changes: object) -> dict[str, str]:
    values: dict[str, object] = {
        "run_id": RUN,
        "backend": "iptables",
        "protections": protections or (protection(),),
        "families": BOTH,
        "iptables": "/usr/sbin/iptables",
        "ip6tables": "/usr/sbin/ip6tables",
        "fwfix_version": "0.1.0",
        "desired": "sha256:00",
    }
    context = LinuxContext(**{**values, **changes})  # type: ignore[arg-type]
    return {name: script.text for name, script in linux_scripts(Renderer(()), context).items()}


def rules(text: str) -> list[str]:
    return [line.partition(" ")[2] for line in text.splitlines() if line.startswith("-A")]


def test_rules_come_in_the_order_that_packets_need() -> None:
    text = scripts(protection(allowed=("10.0.5.0/24", "fd00::/64"), log=True))["rules.v4"]
    roles = re.findall(rf"fwfix:{RUN}:([a-z]+)", text)
    assert roles == ["lo", "allow", "log", "block", "jump"]
    assert "-j ACCEPT" not in text
    assert "fd00" not in text


def test_one_blocking_rule_for_each_port_protocol_and_family() -> None:
    found = scripts(
        protection(8610, 8614), protection(8610, 8614, protocol=Protocol.UDP, action=Action.REJECT)
    )
    for name, reject in (("rules.v4", "icmp-port-unreachable"), ("rules.v6", "icmp6-port-unreachable")):
        blocking = [line for line in rules(found[name]) if ":block-" in line]
        assert len(blocking) == 10
        for port in range(8610, 8615):
            assert len([line for line in blocking if f"-p tcp -m tcp --dport {port} " in line]) == 1
        assert sum(f"-j REJECT --reject-with {reject}" in line for line in blocking) == 5


def test_tcp_is_rejected_with_a_reset() -> None:
    found = scripts(protection(action=Action.REJECT))
    assert "-j REJECT --reject-with tcp-reset" in found["rules.v4"]
    assert "-j REJECT --reject-with tcp-reset" in found["rules.v6"]
    nft = scripts(protection(action=Action.REJECT), backend="nft")["rules.nft"]
    assert nft.count("counter reject with tcp reset") == 2


def test_built_in_chains_are_never_declared_and_there_is_one_table() -> None:
    found = scripts(published=(published(),))
    for name in ("rules.v4", "rules.v6"):
        lines = found[name].splitlines()
        assert [line for line in lines if line.startswith("*")] == ["*filter"]
        assert lines.count("COMMIT") == 1
        assert all(line.startswith(":FWFIX-") for line in lines if line.startswith(":"))
        assert not any(line.startswith(("-F", "-P", "-X")) for line in lines)


def test_published_ports_match_what_was_translated_in_the_original_direction_only() -> None:
    found = scripts(protection(allowed=("10.0.5.0/24",)), published=(published(),))
    chain = [line for line in rules(found["rules.v4"]) if line.startswith(f"FWFIX-{RUN}D ")]
    assert len(chain) == 2
    allowed, blocked = chain
    assert "-s 10.0.5.0/24 -p tcp -m conntrack --ctstate DNAT --ctorigdstport 9100 " in allowed
    assert "--ctstate DNAT --ctorigdstport 9100 --ctdir ORIGINAL" in blocked
    assert f'-I DOCKER-USER 1 -m comment --comment "fwfix:{RUN}:jump" -j FWFIX-{RUN}D' in found["rules.v4"]
    assert "DOCKER-USER" not in found["rules.v6"]


def test_a_redirect_to_the_host_itself_is_met_in_input() -> None:
    found = scripts(published=(published(target="19100"),))
    assert "DOCKER-USER" not in found["rules.v4"]
    assert f"-A FWFIX-{RUN} -p tcp -m conntrack --ctstate DNAT --ctorigdstport 9100" in found["rules.v4"]


def test_a_port_that_no_hook_covers_gets_no_rule() -> None:
    uncovered = PublishedPort(
        protocol=Protocol.TCP, family=Family.IPV4, port=9100, target="172.17.0.2:80", covered=False
    )
    assert "conntrack" not in scripts(published=(uncovered,))["rules.v4"]


def test_everybody_allowed_is_written_without_a_source() -> None:
    found = scripts(protection(allowed=("0.0.0.0/0",)))
    assert (
        f'-A FWFIX-{RUN} -p tcp -m tcp --dport 9100 -m comment --comment "fwfix:{RUN}:allow" -j RETURN'
        in found["rules.v4"]
    )


def test_everything_that_will_run_stands_in_the_plan() -> None:
    found = scripts()
    for name in ("rules.v4", "rules.v6", "rollback.sh"):
        assert found[name] in found["arm"]
    assert found["boot.sh"] in found["confirm"]


def test_families_without_rules_are_left_out() -> None:
    found = scripts(families=(Family.IPV4,))
    assert "rules.v6" not in found
    assert "ip6tables=''" in found["rollback.sh"]
    assert "rules.v4" in scripts(families=BOTH, ip6tables="")


def test_labels_differ_within_a_table() -> None:
    for name, backend in (("rules.v4", "iptables"), ("rules.nft", "nft")):
        text = scripts(protection(allowed=("10.0.0.1", "fd00::1")), published=(published(),), backend=backend)
        labels = [each for each in re.findall(rf'{RUN}:([a-z0-9-]+)"', text[name]) if each != "jump"]
        assert len(labels) == len(set(labels))


def test_scripts_are_the_same_each_time() -> None:
    assert scripts(protection(log=True), published=(published(),)) == scripts(
        protection(log=True), published=(published(),)
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"run_id": "x; rm -rf /"},
        {"iptables": "iptables"},
        {"iptables": "/usr/sbin/ip tables"},
        {"iptables": ""},
    ],
)
def test_values_that_cannot_be_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        scripts(**changes)


@pytest.mark.parametrize("desired", ["$(id)", "a\nb", "`id`", "\\"])
def test_nothing_in_the_record_runs(desired: str) -> None:
    with pytest.raises(RenderError):
        scripts(desired=desired)


@pytest.mark.parametrize("backend", ["iptables", "nft"])
@pytest.mark.parametrize("shell", [["dash", "-n"], ["bash", "--posix", "-n"], ["busybox", "sh", "-n"]])
def test_every_shell_reads_every_script(shell: list[str], backend: str) -> None:
    found = scripts(protection(log=True), published=(published(),), backend=backend)
    found["observe"] = observe_script(Renderer(())).text
    found["rollback"] = rollback_script(Renderer(())).text
    for name, text in found.items():
        if not name.startswith("rules."):
            done = subprocess.run(shell, input=text, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, ""), name


def test_names_of_chains_and_the_log_prefix_fit() -> None:
    # B19: longer ones are cut without a word.
    text = "".join(scripts(protection(log=True), published=(published(),)).values())
    assert max(len(name) for name in re.findall(r"FWFIX-[0-9TZ]+-[0-9a-f]{4}D?", text)) == 28
    prefixes = re.findall(r'--log-prefix "([^"]*)"', text)
    assert set(prefixes) == {"FWFIX-DROP "}


networks = st.one_of(
    st.ip_addresses(v=4).map(ip_network),
    st.ip_addresses(v=6).map(ip_network),
    st.tuples(st.ip_addresses(v=4), st.integers(0, 32)).map(
        lambda p: ip_network(f"{p[0]}/{p[1]}", strict=False)
    ),
)


@given(st.lists(networks, max_size=5, unique=True), st.integers(1, 65530), st.integers(0, 5), st.booleans())
def test_every_port_is_blocked_after_every_source_that_is_allowed(
    allowed: list[Network],
    first: int,
    more: int,
    log: bool,  # noqa: FBT001 - a drawn value
) -> None:
    wanted = Protection(
        service=Service(protocol=Protocol.TCP, first=first, last=first + more),
        allowed=tuple(allowed),
        action=Action.DROP,
        log=log,
    )
    for family in BOTH:
        found = make_rules((wanted,), (), (family,))
        roles = [rule.role for rule in found]
        assert roles == sorted(roles, key=["allow", "log", "block"].index)
        assert [rule.first for rule in found if rule.role == "block"] == list(wanted.service.ports)
        assert sum(rule.role == "allow" for rule in found) == len(wanted.allowed_in(family))
        assert len({rule.label for rule in found}) == len(found)
        assert {rule.verdict for rule in found if rule.role == "allow"} <= {"return"}
