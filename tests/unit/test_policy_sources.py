"""Who may be allowed: every form of an entry, and what each of the surprising ones is answered with."""

from ipaddress import ip_network

import pytest

from fwfix.model.allow import check_sources, collapse, parse_allow_entry
from fwfix.model.policy import SourceKind


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("10.0.5.1", ["10.0.5.1/32"]),
        ("10.0.5.0/24", ["10.0.5.0/24"]),
        ("10.0.6.1-10.0.6.9", ["10.0.6.1/32", "10.0.6.2/31", "10.0.6.4/30", "10.0.6.8/31"]),
        ("10.0.6.0-10.0.6.255", ["10.0.6.0/24"]),
        ("10.0.6.7-10.0.6.7", ["10.0.6.7/32"]),
        ("FD00:5::/64", ["fd00:5::/64"]),
        ("fd00::1-fd00::2", ["fd00::1/128", "fd00::2/128"]),
        ("fe80::1", ["fe80::1/128"]),
    ],
)
def test_addresses_networks_and_ranges_are_read(text: str, networks: list[str]) -> None:
    entry = parse_allow_entry(text)
    assert entry.kind is SourceKind.LITERAL
    assert [str(network) for network in entry.networks] == networks


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("host:prt-srv-01", SourceKind.HOST, "prt-srv-01"),
        ("group:print-servers", SourceKind.GROUP, "print-servers"),
        ("dns:PRT.corp.example.", SourceKind.DNS, "prt.corp.example"),
    ],
)
def test_names_are_read_and_left_to_be_resolved(text: str, kind: SourceKind, name: str) -> None:
    entry = parse_allow_entry(text)
    assert (entry.kind, entry.name, entry.networks) == (kind, name, ())
    assert entry.text == f"{kind.value}:{name}"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("10.0.0.5/24", "write 10.0.0.0/24, or 10.0.0.5"),
        ("fd00::5/64", "write fd00::/64, or fd00::5"),
        ("10.0.0.0/255.255.255.0", "write 10.0.0.0/24"),
        ("10.0.0.0/0.0.0.255", "write 10.0.0.0/24"),
        ("10.0.0.0/33", "/0 to /32"),
        ("10.0.0.0/08", "write"),
        ("10.0.0.0/", "length of the prefix"),
        ("::ffff:10.0.0.1", "write 10.0.0.1"),
        ("::ffff:10.0.0.0/104", "write 10.0.0.0/8"),
        ("::ffff:10.0.0.1-::ffff:10.0.0.9", "write 10.0.0.1"),
        ("fe80::1%eth0", "zone"),
        ("fe80::/64%eth0", "zone"),
        ("10.0.0.9-10.0.0.1", "write 10.0.0.1-10.0.0.9"),
        ("10.0.0.1-9", "both ends in full"),
        ("10.0.0.1-fd00::1", "mixes IPv4 and IPv6"),
        ("0.0.0.0/0", "half of all IPv4"),
        ("::/0", "half of all IPv6"),
        ("2000::/3", "half of all IPv6"),
        ("0.0.0.1-255.255.255.254", "half of all IPv4"),
        ("127.0.0.1", "loopback"),
        ("127.0.0.0/8", "loopback"),
        ("::1", "loopback"),
        ("224.0.0.0/4", "multicast"),
        ("ff02::1", "multicast"),
        ("255.255.255.255", "broadcast"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("prt.corp.example", "dns:prt.corp.example, or host:prt.corp.example"),
        ("any", "dns:any"),
        ("010.0.0.1", "not a source"),
        ("10.0.0", "not a source"),
        ("nonsense!", "group:NAME"),
        ("dns:-x", "not a DNS name"),
        ("dns:", "not a DNS name"),
        ("dns:10.0.0.1", "neither"),
        ("host:$(id)", "not a name"),
        ("group:", "not a name"),
        ("users:x", "group:NAME"),
        ("", "group:NAME"),
        ("a" * 10_000, "10000 characters"),
    ],
)
def test_what_is_no_source_is_answered_with_what_to_write(text: str, answer: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_allow_entry(text)
    assert answer in str(caught.value)
    assert len(str(caught.value)) < 250


def test_entries_that_together_are_nearly_everybody_are_refused() -> None:
    quarters = [ip_network("0.0.0.0/2"), ip_network("64.0.0.0/2")]
    with pytest.raises(ValueError, match="half of all IPv4"):
        check_sources(quarters, "policy p")


def test_networks_merge_into_one_spelling() -> None:
    given = ["10.0.0.128/25", "fd00::/65", "10.0.0.0/25", "10.0.0.7/32", "fd00::8000:0:0:0/65"]
    assert [str(n) for n in collapse(ip_network(text) for text in given)] == ["10.0.0.0/24", "fd00::/64"]
