"""The site's limits only ever tighten, and a file that somebody else could have written is refused."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fwfix.errors import RefusedError, SiteError, UsageError
from fwfix.loading.site import VARIABLE, load_site
from fwfix.model.inventory import ApprovalRule
from fwfix.model.policy import Action, Protection, parse_services
from fwfix.model.site import Site, demand_of

RULES = st.builds(
    ApprovalRule,
    required=st.integers(0, 4),
    allowed_signers=st.sampled_from([Path("/a"), Path("/b")]),
    author_may_approve=st.booleans(),
)
LIMITS = st.builds(
    Site,
    approvals=st.lists(RULES, max_size=2).map(tuple),
    forbidden=st.lists(st.sampled_from(parse_services("bjnp")), max_size=2).map(tuple),
    most_hosts=st.none() | st.integers(0, 5),
    ticket_required=st.booleans(),
    sources=st.just(("site.yaml",)),
)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "site.yaml"
    monkeypatch.setenv(VARIABLE, str(path))
    return path


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o644)
    return path


@given(st.lists(RULES, max_size=4), RULES)
def test_another_rule_never_asks_for_less(rules: list[ApprovalRule], more: ApprovalRule) -> None:
    one, both = demand_of(rules), demand_of([*rules, more])
    assert both.required == max(one.required, more.required)
    assert set(both.signer_files) >= set(one.signer_files)
    if one.required and not one.author_may_approve:
        assert not both.author_may_approve


@given(LIMITS, LIMITS)
def test_two_sites_together_allow_only_what_both_allow(one: Site, other: Site) -> None:
    both = one.tightened(other)

    def allows(site: Site, hosts: int, ticket: str) -> bool:
        try:
            site.refuse_size(hosts)
            site.refuse_ticket(ticket)
            site.refuse_ports([("h", [protection("8610-8614/udp")])])
        except RefusedError:
            return False
        return True

    for hosts in range(7):
        for ticket in ("", "CHG-1"):
            assert allows(both, hosts, ticket) == (
                allows(one, hosts, ticket) and allows(other, hosts, ticket)
            )


def protection(text: str) -> Protection:
    (service,) = parse_services(text)
    return Protection(service=service, allowed=(), action=Action.DROP, log=False)


def test_approvals_that_nobody_could_give_are_an_error_and_not_a_run_without_them() -> None:
    with pytest.raises(UsageError, match="allowed_signers"):
        demand_of([ApprovalRule(required=1)])


def test_a_site_without_a_file_limits_nothing(tmp_path: Path) -> None:
    assert load_site(tmp_path / "nowhere" / "site.yaml") == Site()


def test_every_limit_is_read(file: Path) -> None:
    write(
        file,
        "version: 1\n"
        "approvals: {required: 2, allowed_signers: signers}\n"
        "blackouts: ['2026-12-20T00:00Z/P14D', 'daily 08:00-18:00 Europe/Berlin']\n"
        "forbidden_ports: [lpd, 9000-9099/tcp]\n"
        "max_hosts: 100\n"
        "ticket_required: true\n",
    )
    site = load_site(file.parent / "none")
    assert site.approvals == (ApprovalRule(required=2, allowed_signers=file.parent / "signers"),)
    assert len(site.blackouts) == 2
    assert [str(port) for port in site.forbidden] == ["515/tcp", "9000-9099/tcp"]
    assert (site.most_hosts, site.ticket_required) == (100, True)
    with pytest.raises(RefusedError) as refused:
        site.refuse_ports([("gw", [protection("9050-9100/tcp")])])
    assert refused.value.code == "forbidden-port"
    site.refuse_ports([("gw", [protection("9100/tcp")])])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("max_host: 3\n", "valid keys"),
        ("max_hosts: many\n", "whole number"),
        ("approvals: {require: 2}\n", "valid keys"),
        ("blackouts: [sometimes]\n", "sometimes"),
        ("forbidden_ports: [9100]\n", "which protocol"),
        ("- max_hosts\n", "site.yaml"),
        ("", "says nothing"),
        ("version: 1\napprovals:\n#  required: 2\n", "site.yaml:2: approvals"),
        ("# max_hosts: 3\n", "says nothing"),
    ],
)
def test_limits_that_cannot_be_understood_are_an_error(file: Path, text: str, said: str) -> None:
    write(file, text)
    with pytest.raises(SiteError, match=said):
        load_site(file.parent / "none")


def test_a_file_that_others_may_write_is_refused(file: Path) -> None:
    write(file, "max_hosts: 3\n").chmod(0o666)
    with pytest.raises(SiteError, match="written by others"):
        load_site(file.parent / "none")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_of_somebody_else_is_refused(file: Path, tmp_path: Path) -> None:
    os.chown(write(file, "max_hosts: 3\n"), 12345, -1)
    with pytest.raises(SiteError, match="belongs to user 12345"):
        load_site(tmp_path / "none")
    with pytest.raises(SiteError, match="belongs to user 12345"):
        load_site(file)


def test_what_is_no_file_is_refused_and_not_waited_for(file: Path) -> None:
    file.mkdir(mode=0o755)
    with pytest.raises(SiteError, match="not a regular file"):
        load_site(file.parent / "none")
    file.rmdir()
    os.mkfifo(file)
    with pytest.raises(SiteError, match="not a regular file"):
        load_site(file.parent / "none")


def test_a_file_that_the_environment_names_must_be_there(file: Path) -> None:
    with pytest.raises(SiteError, match="cannot be read"):
        load_site(file.parent / "none")


@pytest.mark.skipif(os.geteuid() != 0, reason="the site's own file must belong to root")
def test_the_environment_never_loosens_what_root_wrote(file: Path, tmp_path: Path) -> None:
    real = write(tmp_path / "real.yaml", "max_hosts: 3\nticket_required: true\n")
    write(file, "max_hosts: 5000\nticket_required: false\n")
    site = load_site(real)
    assert (site.most_hosts, site.ticket_required) == (3, True)


def test_a_calendar_lies_beside_the_file_that_names_it_whatever_the_case_of_its_ending(file: Path) -> None:
    write(file, "blackouts: [freeze.ICS]\n")
    assert load_site(file.parent / "none").blackouts == (str(file.parent / "freeze.ICS"),)
