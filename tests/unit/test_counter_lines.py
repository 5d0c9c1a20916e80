"""What is said between waves about whom our rules have turned away."""

from fwfix.runner.counters import lines_of

PORT = "9100/tcp IPv4"


def test_a_host_that_counts_nothing_is_not_called_one_that_turned_nobody_away() -> None:
    now = {"gw": {PORT: 4}, "pos-win": {}}
    assert list(lines_of({}, now, silent=[])) == [
        "turned away since: nobody, on 1 host",
        "no counters of ours on: pos-win",
    ]
    assert list(lines_of({}, {"pos-win": {}}, silent=["gw"])) == [
        "counters not read: gw did not answer",
        "no counters of ours on: pos-win",
    ]


def test_many_hosts_are_added_up() -> None:
    turned = {f"gw-{number:02}": {PORT: 1} for number in range(12)}
    said = list(lines_of(turned, turned, silent=[f"s-{number:02}" for number in range(12)]))
    assert said[0] == "turned away since: gw-00: 1 packet to 9100/tcp IPv4"
    assert said[-2] == "turned away since: 12 packets on 12 hosts in all"
    assert said[-1].endswith("s-09 and 2 more did not answer")
