"""What a Linux host answers is read with care: sockets, addresses, nft listings, records."""

import json
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

import pytest

from fwfix.drivers.answers import parse_answer, read_changing_answer
from fwfix.drivers.iptables_walk import Packet
from fwfix.drivers.linux_observation import read_linux_observation
from fwfix.drivers.nft_list import find_table, parse_nft
from fwfix.drivers.nft_spelling import nft_priority, nft_spelling, read_match
from fwfix.drivers.nft_walk import translations
from fwfix.drivers.plain_words import from_plain_word, to_plain_word
from fwfix.drivers.sockets import (
    parse_addresses,
    parse_conntrack,
    parse_listeners,
    parse_proc_net,
    parse_sessions,
    parse_ssh_connection,
)
from fwfix.errors import AnswerError, HostError, PrivilegeError, ScriptError
from fwfix.model.observation import Listener, RecordState, Session
from fwfix.model.policy import Family, Protocol
from fwfix.model.script import Invocation, Result, Script

SS = """\
Netid State  Recv-Q Send-Q Local Address:Port Peer Address:Port Process
udp   UNCONN 0      0      127.0.0.53%lo:53     0.0.0.0:*    users:(("systemd-resolve",pid=7,fd=13))
udp   UNCONN 0      0            0.0.0.0:8612   0.0.0.0:*
tcp   LISTEN 0      4096        *:9100         *:*    users:(("exporter",pid=812,fd=3),("helper",pid=9,fd=4))
tcp   LISTEN 0      128          0.0.0.0:22     0.0.0.0:*    users:(("sshd",pid=70,fd=3))
tcp   LISTEN 0      128             [::]:22        [::]:*    users:(("sshd",pid=70,fd=4))
tcp   LISTEN 0      128  [fe80::1]%eth0:515        [::]:*
tcp   ESTAB  0      0          10.0.0.1:9100   10.0.0.9:999
"""
SESSIONS = """\
tcp   ESTAB      0 0         10.1.2.3:9100       10.9.0.7:40112
tcp   ESTAB      0 0 [::ffff:10.1.2.3]:9100 [::ffff:10.9.0.8]:40113
tcp   ESTAB      0 0      [fd00::3]:9100      [fd00::9]:40114
tcp   TIME-WAIT  0 0         10.1.2.3:9100       10.9.0.9:40115
"""
ADDRESSES = """\
1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever
2: eth0@if9    inet 10.1.2.3/24 brd 10.1.2.255 scope global eth0\\       valid_lft forever
2: eth0    inet6 fd00::3/64 scope global temporary dynamic \\       valid_lft 86000sec
2: eth0    inet6 fd00::4/64 scope global \\       valid_lft forever preferred_lft forever
2: eth0    inet6 fd00::5/64 scope global tentative \\       valid_lft forever preferred_lft forever
2: eth0    inet6 fe80::1/64 scope link \\       valid_lft forever preferred_lft forever
3: docker0    inet 172.17.0.1/16 scope global docker0\\       valid_lft forever
"""
PROC_TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:238C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0302010A:238C 0700090A:9CB0 01 00000000:00000000 00:00000000 00000000     0        0 2
"""
PROC_TCP6 = """\
  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:238D 00000000000000000000000000000000:0000 0A 0 0 0
   1: 000000FD000000000000000004000000:0203 00000000000000000000000000000000:0000 0A 0 0 0
"""
NFT = """\
table inet fwfix { # handle 1
	chain FWFIX-20261121T220003Z-4f2a { # handle 1
		type filter hook input priority filter - 10; policy accept;
		iif "lo" return comment "fwfix:20261121T220003Z-4f2a:lo" # handle 2
		tcp dport 9100 counter packets 3 bytes 180 drop comment "fwfix:20261121T220003Z-4f2a:block-1"
	}
}
table inet filter { # handle 2
	set s { # handle 6
		type ipv4_addr
		flags interval
		elements = { 10.0.0.1, 10.0.0.2,
				10.0.2.0/24, 10.0.3.5 }
	}

	chain x { # handle 1
		tcp dport vmap { 80 : accept, 9100 : drop } # handle 8
	}

	chain q { # handle 3
		tcp dport 9100 dnat ip to 10.0.0.9:80 # handle 15
		dnat ip to tcp dport map { 9100 : 10.0.0.1 } # handle 17
	}

	chain pre { # handle 4
		type nat hook prerouting priority dstnat; policy accept;
		tcp dport 9100 redirect to :9101 comment "to : nowhere" # handle 18
		iifname "lo" tcp dport 9100 dnat ip to 10.0.0.2:80 # handle 19
		iifname "eth0" tcp dport { 9099, 9100-9102 } dnat ip to 10.0.0.3 # handle 21
		tcp dport 9100 meta nfproto ipv6 dnat ip6 to [fd00::2]:80 # handle 22
		udp dport 9100 redirect to :1 # handle 23
		ip daddr 10.96.0.1 tcp dport 9100 dnat ip to 10.0.0.4 # handle 24
		fib daddr type local jump q # handle 25
	}
}
"""
RECORD = {
    "run_id": "20261121T220003Z-4f2a",
    "state": "armed",
    "since": "2026-11-21T22:00:04Z",
    "operator": "ops%20(sudo)",
    "machine_id": "abc",
    "boot_id": "boot",
    "deadline": "160.25",
}


def answer(**values: object) -> Result:
    document = {
        "schema": "fwfix.answer/1",
        "script": "observe",
        "ok": True,
        "machine_id": "abc",
        "boot_id": "boot",
        "uid": 0,
        "uptime": 100.25,
        **values,
    }
    return Result(exit_code=0, stdout=json.dumps(document), stderr="", took_ms=1)


def test_listeners_name_their_oldest_process_and_family() -> None:
    found = parse_listeners(SS, {"9": "/usr/bin/helper -x"})
    by_port = {(each.port, each.family): each for each in found}
    assert by_port[9100, None] == Listener(
        protocol=Protocol.TCP, port=9100, family=None, process="helper", command="/usr/bin/helper -x"
    )
    assert by_port[53, Family.IPV4].address == "127.0.0.53"
    assert by_port[22, Family.IPV4].address == by_port[22, Family.IPV6].address == ""
    assert by_port[515, Family.IPV6].address == "fe80::1"
    assert by_port[8612, Family.IPV4].process == ""
    assert len(found) == 6


def test_only_open_sessions_count_and_mapped_peers_are_ipv4() -> None:
    assert parse_sessions(SESSIONS) == tuple(
        Session(protocol=Protocol.TCP, port=9100, peer=peer) for peer in ("10.9.0.7", "10.9.0.8", "fd00::9")
    )


def test_without_ss_the_kernel_is_asked() -> None:
    listeners, sessions = parse_proc_net({"tcp": PROC_TCP, "tcp6": PROC_TCP6, "udp": "", "udp6": ""})
    assert [(each.port, each.family, each.address) for each in listeners] == [
        (515, Family.IPV6, "fd00::4"),
        (9100, Family.IPV4, ""),
        (9101, None, ""),
    ]
    assert sessions == (Session(protocol=Protocol.TCP, port=9100, peer="10.9.0.7"),)


def test_only_global_addresses_that_work_are_read() -> None:
    found = parse_addresses(ADDRESSES)
    assert [(each.interface, str(each.address)) for each in found] == [
        ("eth0", "10.1.2.3"),
        ("eth0", "fd00::3"),
        ("eth0", "fd00::4"),
        ("docker0", "172.17.0.1"),
    ]


def test_others_reach_a_host_at_its_own_interface_first_and_at_no_container_bridge() -> None:
    observation = read_linux_observation(
        answer(addresses=ADDRESSES, ssh_connection="10.9.0.9 4444 10.1.2.3 22")
    )
    assert [str(each) for each in observation.addresses] == ["10.1.2.3", "fd00::4", "fd00::3"]
    assert observation.management.peer == ip_address("10.9.0.9")
    assert observation.management.port == 22
    assert observation.families == set(Family)


def test_an_ssh_connection_may_be_missing_or_mapped() -> None:
    assert parse_ssh_connection("") == (None, None, 0)
    peer, own, port = parse_ssh_connection("::ffff:10.9.0.9 4444 ::ffff:10.1.2.3 2222")
    assert (str(peer), str(own), port) == ("10.9.0.9", "10.1.2.3", 2222)


def test_records_know_how_long_their_timer_has() -> None:
    later = {**RECORD, "run_id": "20261121T230000Z-00ff", "boot_id": "earlier", "machine_id": "other"}
    observation = read_linux_observation(answer(records=[later, RECORD]))
    armed, foreign = observation.records
    assert armed.state is RecordState.ARMED
    assert armed.remaining == timedelta(seconds=60)
    assert armed.since == datetime(2026, 11, 21, 22, 0, 4, tzinfo=UTC)
    assert armed.operator == "ops (sudo)"
    assert not armed.foreign
    assert foreign.foreign
    assert foreign.remaining is None


@pytest.mark.parametrize(
    ("lock", "holder"),
    [
        ("", None),
        ("20261121T220003Z-4f2a 160.25 boot", "20261121T220003Z-4f2a"),
        ("20261121T220003Z-4f2a 60.25 boot", None),
        ("20261121T220003Z-4f2a 160.25 earlier", None),
        ("rubbish", None),
    ],
)
def test_a_lock_past_its_time_holds_nothing(lock: str, holder: str | None) -> None:
    assert read_linux_observation(answer(lock=lock)).lock_holder == holder


def test_an_observation_without_root_is_no_observation() -> None:
    with pytest.raises(PrivilegeError):
        read_linux_observation(answer(uid=1000))


@pytest.mark.parametrize(
    "values",
    [
        {"machine_id": ""},
        {"uptime": None},
        {"uptime": "soon"},
        {"records": {"run_id": 1}},
        {"records": [{"run_id": "../../etc", "state": "armed"}]},
        {"records": [{"run_id": "20261121T220003Z-4f2a", "state": "happy"}]},
        {"records": [{"run_id": "20261121T220003Z-4f2a"}]},
        {"ss": {"not": "a text"}},
        {"systemd": [1]},
        {"schema": "fwfix.answer/9"},
    ],
)
def test_a_document_that_makes_no_sense_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(AnswerError):
        read_linux_observation(answer(**values))


@pytest.mark.parametrize("stdout", ["", "Welcome!", "[1, 2]", "{", '{"schema": 1}', "null", "[" * 100_000])
def test_no_document_at_all_is_an_answer_error(stdout: str) -> None:
    with pytest.raises(AnswerError):
        parse_answer(Result(exit_code=1, stdout=stdout, stderr="sh: awk: not found", took_ms=1))


def test_half_a_character_in_an_answer_is_read() -> None:
    stdout = '{"schema": "fwfix.answer/1", "message": "\\ud800"}'
    document = parse_answer(Result(exit_code=0, stdout=stdout, stderr="", took_ms=1))
    assert document.text("message") == "\ud800"


def test_a_script_that_cannot_look_says_why() -> None:
    with pytest.raises(ScriptError) as failed:
        read_linux_observation(answer(ok=False, code="missing-tool", message="There is no awk."))
    assert isinstance(failed.value, HostError)
    assert failed.value.code == "missing-tool"


def test_a_changing_answer_tells_state_and_time() -> None:
    found = read_changing_answer(
        answer(
            script="arm", state="armed", deadline="160.25", uptime=100.25, persistent=False, notes=["a", "b"]
        )
    )
    assert found.ok
    assert found.state is RecordState.ARMED
    assert found.remaining == timedelta(seconds=60)
    assert not found.persistent
    assert found.notes == ("a", "b")


def test_a_refusal_names_the_run_in_the_way() -> None:
    found = read_changing_answer(
        answer(ok=False, code="locked", holder="20261121T230000Z-00ff 160 boot", state="")
    )
    assert (found.ok, found.code, found.holder, found.state) == (
        False,
        "locked",
        "20261121T230000Z-00ff",
        None,
    )


def test_nft_tables_chains_and_rules_are_read() -> None:
    tables = parse_nft(NFT)
    assert [(table.family, table.name) for table in tables] == [("inet", "fwfix"), ("inet", "filter")]
    ours = find_table(tables, "inet", "fwfix")
    assert ours is not None
    (chain,) = ours.chains.values()
    assert (chain.hook, nft_priority(chain.priority), chain.policy) == ("input", -10, "accept")
    assert [rule.packets for rule in chain.rules] == [None, 3]
    assert chain.rules[1].comment == "fwfix:20261121T220003Z-4f2a:block-1"
    assert set(tables[1].chains) == {"x", "q", "pre"}


@pytest.mark.parametrize(
    ("family", "targets"),
    [
        (Family.IPV4, ["9101", "10.0.0.3", "10.0.0.9:80", "10.0.0.1"]),
        (Family.IPV6, ["9101", "[fd00::2]:80"]),
    ],
)
def test_nft_translations_are_found(family: Family, targets: list[str]) -> None:
    table = parse_nft(NFT)[1]
    packet = Packet(family=family, protocol=Protocol.TCP, port=9100, destinations=(ip_address("10.1.2.3"),))
    assert [target for _, target in translations(table, packet)] == targets


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ('iif "lo" return', "iifname lo  return"),
        ("tcp dport { 515, 9100 } drop", "tcp dport {9100,515} drop"),
        ("ip saddr 10.0.0.1/32 drop", "ip saddr 10.0.0.1 drop"),
        ("ip saddr 10.0.6.0-10.0.6.255 drop", "ip saddr 10.0.6.0/24 drop"),
        ("udp dport 1 reject", "udp dport 1 reject with icmpx type port-unreachable"),
        (
            "meta l4proto tcp tcp dport 1 drop",
            "tcp dport 1 drop",
        ),
        ("counter packets 1 bytes 2 drop", "counter drop"),
    ],
)
def test_two_listings_of_an_nft_rule_are_equal(left: str, right: str) -> None:
    assert nft_spelling(left) == nft_spelling(right)


def test_different_nft_rules_are_not_equal() -> None:
    assert nft_spelling("tcp dport 1 reject with tcp reset") != nft_spelling("tcp dport 1 reject")
    assert nft_spelling("ip saddr 10.0.0.1 drop") != nft_spelling("ip saddr 10.0.0.2 drop")


def test_an_nft_rule_of_ours_says_what_it_matches() -> None:
    text = "ip saddr 10.9.0.9 meta l4proto tcp ct status dnat ct original proto-dst 9100 counter drop"
    match = read_match(text)
    assert (match.families, match.protocols, match.ports) == ((Family.IPV4,), (Protocol.TCP,), (9100,))
    assert match.source == ip_address("10.9.0.9")


@pytest.mark.parametrize("text", ["", "-", "ops (sudo)", "Jörg O'Neil", "100%", "a\nb", "$(reboot)"])
def test_any_text_is_one_plain_word_and_back(text: str) -> None:
    word = to_plain_word(text)
    assert from_plain_word(word) == text
    script = Script(name="arm", text="", changes=True)
    assert Invocation(script=script, arguments=(word,)).arguments == (word,)


def test_tracked_connections_name_who_came_to_which_port_before_translation() -> None:
    lines = (
        "ipv4     2 tcp      6 431999 ESTABLISHED src=10.9.0.7 dst=10.1.2.3 sport=40112 dport=9100"
        " src=172.17.0.2 dst=10.9.0.7 sport=80 dport=40112 [ASSURED] mark=0 zone=0 use=2\n"
        "tcp      6 431999 ESTABLISHED src=fd00::9 dst=fd00::3 sport=40114 dport=9101 src=fd01::2"
        " dst=fd00::9 sport=80 dport=40114 [ASSURED] mark=0 use=1\n"
        "udp      17 30 src=10.9.0.8 dst=10.1.2.3 sport=8612 dport=8611 src=172.17.0.2 dst=10.9.0.8"
        " sport=8611 dport=8612 [ASSURED] mark=0 use=1\n"
        "icmp     1 29 src=10.9.0.8 dst=10.1.2.3 type=8 code=0 id=9 src=10.1.2.3 dst=10.9.0.8\n"
    )
    assert parse_conntrack(lines) == (
        Session(protocol=Protocol.TCP, port=9100, peer="10.9.0.7"),
        Session(protocol=Protocol.TCP, port=9101, peer="fd00::9"),
        Session(protocol=Protocol.UDP, port=8611, peer="10.9.0.8"),
    )
