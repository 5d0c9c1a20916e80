"""The diff of a Linux host: rules that come, as rendered, and rules of the replaced run that go. Pure."""

from collections.abc import Iterator, Mapping
from functools import lru_cache

from fwfix.drivers.linux_facts import LinuxFacts
from fwfix.drivers.nft_spelling import read_match
from fwfix.drivers.standing import live_rules
from fwfix.model.observation import RunRecord
from fwfix.model.plan import Change, ChangeOp
from fwfix.model.policy import Family
from fwfix.model.script import Script

_FILES = (("rules.v4", Family.IPV4), ("rules.v6", Family.IPV6), ("rules.nft", None))


def changes_between(
    facts: LinuxFacts, scripts: Mapping[str, Script], *, supersedes: RunRecord | None
) -> tuple[Change, ...]:
    """Return every rule that comes, then every rule that goes."""
    comes = (
        change for name, family in _FILES if name in scripts for change in _added(family, scripts[name].text)
    )
    goes = (
        Change(op=ChangeOp.REMOVE, object="rule", family=family or _family_of(text), text=text)
        for family, text in (live_rules(facts, supersedes.run_id) if supersedes else ())
    )
    return (*comes, *goes)


@lru_cache(maxsize=64)
def _added(family: Family | None, rules: str) -> tuple[Change, ...]:
    """Say of rendered rules that they come; the hosts of a fleet get the same few."""
    return tuple(
        Change(op=ChangeOp.ADD, object="rule", family=family or _family_of(text), text=text)
        for text in _rules(rules)
    )


def _family_of(nft_rule: str) -> Family | None:
    families = read_match(nft_rule).families
    return families[0] if len(families) == 1 else None


def _rules(text: str) -> Iterator[str]:
    """Yield the lines of a payload that are rules: `-A` and `-I` of iptables, the rules of nft chains."""
    for line in (raw.strip() for raw in text.splitlines()):
        if line.startswith(("-A ", "-I ")) or (line and 'comment "' in line and not line.startswith("#")):
            yield line
