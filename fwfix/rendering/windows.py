"""The scripts of one run on one Windows host, rendered from a plan alone."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from fwfix.errors import RenderError
from fwfix.model.complement import complement, split_for_rules
from fwfix.model.policy import Family, Protection, Protocol, Service
from fwfix.model.runid import is_run_id
from fwfix.model.script import Script
from fwfix.rendering.environment import Renderer
from fwfix.rendering.powershell import here_string

ANY = "Any"
GROUP = "fwfix"
_MOST_NAMED = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsRule:
    """One rule as New-NetFirewallRule is asked for it.

    Attributes:
        addresses: ranges of both families, or `Any` alone.
        allowed: who is left out, for people.
    """

    name: str
    service: Service
    addresses: tuple[str, ...]
    allowed: str

    @property
    def protocol(self) -> str:
        """The protocol as the cmdlet spells it."""
        return self.service.protocol.value.upper()

    @property
    def port(self) -> str:
        """The port, or the range of ports."""
        first, last = self.service.first, self.service.last
        return str(first) if first == last else f"{first}-{last}"

    @property
    def title(self) -> str:
        """What the firewall console shows."""
        return f"fwfix {self.service}: block {self.who}"

    @property
    def who(self) -> str:
        """Who is blocked."""
        return f"all but {self.allowed}" if self.allowed else "everybody"

    @property
    def families(self) -> tuple[Family, ...]:
        """The families in which it blocks."""
        if self.addresses == (ANY,):
            return tuple(Family)
        six = any(":" in address for address in self.addresses)
        four = any(":" not in address for address in self.addresses)
        return tuple(f for f, there in ((Family.IPV4, four), (Family.IPV6, six)) if there)


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsContext:
    """What the scripts of one run on one host depend on.

    Attributes:
        desired: digest of what was asked for; it goes into the host's record.
    """

    run_id: str
    protections: tuple[Protection, ...]
    fwfix_version: str
    desired: str

    def __post_init__(self) -> None:
        if not is_run_id(self.run_id):
            raise ValueError(f"{self.run_id!r} is not a run id")


def make_rules(run_id: str, protections: Sequence[Protection]) -> tuple[WindowsRule, ...]:
    """Return the rules of a run: one block for each service, more where an allow list is very long.

    Raises:
        ValueError: an allow list names everybody.
    """
    parts = [(each, part) for each in protections for part in _parts(each)]
    return tuple(
        WindowsRule(
            name=f"fwfix-{run_id}-{number}",
            service=protection.service,
            addresses=part,
            allowed=_named(protection),
        )
        for number, (protection, part) in enumerate(parts, start=1)
    )


def _parts(protection: Protection) -> tuple[tuple[str, ...], ...]:
    if not protection.allowed:
        return ((ANY,),)
    ranges = complement(protection.allowed)
    return tuple(tuple(str(span) for span in part) for part in split_for_rules(ranges))


def _named(protection: Protection) -> str:
    allowed = [str(network) for network in protection.allowed]
    more = len(allowed) - _MOST_NAMED
    return ", ".join(allowed[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")


def rules_document(rules: Iterable[WindowsRule]) -> str:
    """Return rules as text, for the plan: what is wanted on the host."""
    items = [
        {
            "name": rule.name,
            "protocol": rule.service.protocol.value,
            "first": rule.service.first,
            "last": rule.service.last,
            "addresses": list(rule.addresses),
            "allowed": rule.allowed,
        }
        for rule in rules
    ]
    return json.dumps(items, indent=1) + "\n"


def read_rules(text: str) -> tuple[WindowsRule, ...]:
    """Read what `rules_document` wrote.

    Raises:
        ValueError, KeyError, TypeError: it is something else.
    """
    return tuple(
        WindowsRule(
            name=item["name"],
            service=Service(protocol=Protocol(item["protocol"]), first=item["first"], last=item["last"]),
            addresses=tuple(item["addresses"]),
            allowed=item["allowed"],
        )
        for item in json.loads(text)
    )


def observe_script(renderer: Renderer) -> Script:
    """Return the script that looks at a host and changes nothing."""
    return renderer.render("windows/observe.ps1.j2", script_name="observe", changes=False)


def rollback_script(renderer: Renderer) -> Script:
    """Return the script that undoes a run by the host's own record; it needs no plan."""
    return renderer.render("windows/rollback.ps1.j2", script_name="rollback", changes=True)


def windows_scripts(renderer: Renderer, context: WindowsContext) -> Mapping[str, Script]:
    """Return the scripts of a run, and what they write on the host, by name."""
    rules = make_rules(context.run_id, context.protections)
    names = [rule.name for rule in rules]
    common = {"run_id": context.run_id, "fwfix_version": _word(context.fwfix_version)}
    undo = renderer.render(
        "windows/host/rollback.ps1.j2", script_name="rollback.ps1", changes=True, names=names, **common
    )
    task = renderer.render(
        "windows/host/task.xml.j2", script_name="task.xml", changes=True, run_id=context.run_id
    )
    arm = renderer.render(
        "windows/arm.ps1.j2",
        script_name="arm",
        changes=True,
        rollback=here_string(_ascii(undo)),
        task=here_string(_ascii(task)),
        desired=_word(context.desired),
        **common,
    )
    shown = [_as_shown(rule, context.run_id) for rule in rules]
    return {
        "arm": _with_parts(arm, (undo, task)),
        "apply": renderer.render(
            "windows/apply.ps1.j2", script_name="apply", changes=True, rules=shown, run_id=context.run_id
        ),
        "confirm": renderer.render(
            "windows/confirm.ps1.j2", script_name="confirm", changes=True, names=names, run_id=context.run_id
        ),
        "rollback": rollback_script(renderer),
        "rollback.ps1": undo,
        "rules.json": Script(name="rules.json", text=rules_document(rules), changes=False),
    }


def _as_shown(rule: WindowsRule, run_id: str) -> Mapping[str, object]:
    return {
        "name": rule.name,
        "title": rule.title,
        "description": f"Blocks {rule.who}. Made by fwfix; to undo it: fwfix rollback {run_id}",
        "protocol": rule.protocol,
        "port": rule.port,
        "addresses": rule.addresses,
    }


def _with_parts(script: Script, parts: Iterable[Script]) -> Script:
    """Return a script that carries others: its provenance is theirs too."""
    origins = {origin.name: origin for part in (*parts, script) for origin in part.templates}
    return replace(script, templates=tuple(origins[key] for key in sorted(origins)))


def _ascii(script: Script) -> str:
    """Return a text that means the same in every code page: PowerShell 5.1 takes a plain file for ANSI."""
    if not script.text.isascii():
        raise RenderError(f"{script.name} lies on the host as a file and has to be plain ASCII.")
    return script.text


def _word(text: str) -> str:
    """Check a value that is written into the record as it is."""
    if not text.isprintable() or not text.isascii():
        raise RenderError(f"{text!r} cannot stand in the record of a host.")
    return text
