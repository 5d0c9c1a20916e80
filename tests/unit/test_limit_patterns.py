"""Which hosts a limit names."""

from pathlib import Path

import pytest

from fwfix.errors import FwfixError, InventoryError, UsageError
from fwfix.loading.limit import select_hosts
from fwfix.model.host import Host, Platform
from fwfix.model.inventory import Inventory


def host(name: str, *groups: str, **labels: str) -> Host:
    return Host(name=name, address=name, platform=Platform.LINUX, groups=groups, labels=labels)


@pytest.fixture
def inventory() -> Inventory:
    hosts = [
        host("web1", "web", "berlin", site="berlin", tier="1"),
        host("web2", "web", site="lisbon"),
        host("db1", "db", "berlin", site="berlin"),
        host("db2", "db", site="berlin-2"),
    ]
    groups = {
        name: tuple(h.name for h in hosts if name in h.groups) for name in ("web", "db", "berlin", "empty")
    }
    return Inventory(hosts={h.name: h for h in hosts}, groups=groups, policies={})


@pytest.mark.parametrize(
    ("limit", "names"),
    [
        (None, "web1 web2 db1 db2"),
        ("all", "web1 web2 db1 db2"),
        ("*", "web1 web2 db1 db2"),
        ("db1", "db1"),
        ("db1,web1", "web1 db1"),
        (" db1 , web1 ,", "web1 db1"),
        ("web", "web1 web2"),
        ("web*", "web1 web2"),
        ("?b1", "db1"),
        ("[dw]*1", "web1 db1"),
        ("ber*", "web1 db1"),
        ("label:site=berlin", "web1 db1"),
        ("label:site=ber*", "web1 db1 db2"),
        ("label:tier=1", "web1"),
        ("!db1", "web1 web2 db2"),
        ("!db,!web1", "web2"),
        ("berlin,!db1", "web1"),
        ("!db1,berlin", "web1"),
        ("web,&berlin", "web1"),
        ("web,db,&label:site=berlin,!db1", "web1"),
        ("all,!nothing-of-this-name*", "web1 web2 db1 db2"),
    ],
)
def test_patterns_select_hosts_in_the_order_of_the_inventory(
    inventory: Inventory, limit: str | None, names: str
) -> None:
    assert [h.name for h in select_hosts(inventory, limit)] == names.split()


@pytest.mark.parametrize(
    ("limit", "words"),
    [
        ("web3", ["'web3'", "Did you mean web"]),
        ("berlim", ["Did you mean berlin"]),
        ("web1,wbe2", ["'wbe2'", "web2"]),
        ("!wbe2", ["'wbe2'", "web2"]),
        ("web,&berlim", ["'berlim'", "berlin"]),
        ("x*", ["'x*'", "no host"]),
        ("empty", ["'empty'", "group is empty"]),
        ("label:site=rome", ["'label:site=rome'", "berlin, berlin-2, lisbon"]),
        ("label:sight=rome", ["Labels in use: site, tier"]),
        ("!label:site=rome", ["'label:site=rome'"]),
        ("label:site", ["write label:site=berlin"]),
        ("web1,!web1", ["'web1,!web1'", "leaves no host"]),
        ("web,&db", ["leaves no host"]),
        ("", ["limit is empty"]),
        (" , ", ["limit is empty"]),
        ("!", ["matches no host"]),
        ("~web.*", ["'~web.*'"]),
        ("a\x1b[31m", ["\\x1b"]),
    ],
)
def test_a_limit_that_matches_nothing_is_an_error_that_helps(
    inventory: Inventory, limit: str, words: list[str]
) -> None:
    with pytest.raises(UsageError) as caught:
        select_hosts(inventory, limit)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("web1\n\n# a comment\ndb1 # another\n", ("@", "web1 db1")),
        ("berlin\n!db1\n", ("@", "web1")),
        ("web1,db2\r\n", ("@", "web1 db2")),
        ("\ufeffweb1\n", ("@", "web1")),
        ("web\n", ("!@", "db1 db2")),
        ("berlin\n", ("web,&@", "web1")),
    ],
)
def test_a_file_of_patterns_selects_hosts(
    inventory: Inventory, tmp_path: Path, text: str, chosen: tuple[str, str]
) -> None:
    limit, names = chosen
    path = tmp_path / "hosts"
    path.write_text(text)
    assert [h.name for h in select_hosts(inventory, f"{limit}{path}")] == names.split()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("web1\nwbe2\n", [":2: ", "'wbe2'", "web2"]),
        ("# nothing\n", ["names no host"]),
        ("@other\n", [":1: ", "no further file"]),
        ("!wbe2\n", [":1: ", "'wbe2'"]),
    ],
)
def test_a_mistake_in_a_file_of_patterns_is_named_with_its_line(
    inventory: Inventory, tmp_path: Path, text: str, words: list[str]
) -> None:
    path = tmp_path / "hosts"
    path.write_text(text)
    with pytest.raises(InventoryError) as caught:
        select_hosts(inventory, f"@{path}")
    assert str(caught.value).startswith(str(path))
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("name", ["missing", "", "\0"])
def test_a_file_of_patterns_that_is_not_there_is_an_error(
    inventory: Inventory, tmp_path: Path, name: str
) -> None:
    with pytest.raises(FwfixError, match="cannot be read"):
        select_hosts(inventory, f"@{tmp_path}/{name}")
