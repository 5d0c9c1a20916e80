"""The scripts of one run on one Linux host, rendered from a plan alone."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Literal

from fwfix.errors import RenderError
from fwfix.model.observation import PublishedPort
from fwfix.model.policy import Family, Protection
from fwfix.model.runid import is_run_id
from fwfix.model.script import Script
from fwfix.rendering.environment import Renderer
from fwfix.rendering.rules import make_rules

Backend = Literal["iptables", "nft"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LinuxContext:
    """What the scripts of one run on one host depend on.

    Attributes:
        families: those that get rules.
        published: translated ports that we can cover.
        iptables, ip6tables: absolute paths of the host's own binaries (B14); empty where not used.
        desired: digest of what was asked for; it goes into the host's record.
    """

    run_id: str
    backend: Backend
    protections: tuple[Protection, ...]
    families: tuple[Family, ...]
    published: tuple[PublishedPort, ...] = ()
    iptables: str = ""
    ip6tables: str = ""
    fwfix_version: str
    desired: str

    def __post_init__(self) -> None:
        if not is_run_id(self.run_id):
            raise ValueError(f"{self.run_id!r} is not a run id")
        for path in (self.iptables, self.ip6tables):
            if path and (not PurePosixPath(path).is_absolute() or any(c.isspace() for c in path)):
                raise ValueError(f"{path!r} is not an absolute path")
        if self.backend == "iptables" and Family.IPV4 in self.families and not self.iptables:
            raise ValueError("the iptables back end needs the path of iptables")

    @property
    def has_ipv6(self) -> bool:
        """Whether IPv6 gets rules of its own."""
        return Family.IPV6 in self.families and (self.backend == "nft" or bool(self.ip6tables))


def observe_script(renderer: Renderer) -> Script:
    """Return the script that looks at a host and changes nothing."""
    return renderer.render("linux/observe.sh.j2", script_name="observe", changes=False)


def rollback_script(renderer: Renderer) -> Script:
    """Return the script that undoes a run by the host's own record; it needs no plan."""
    return renderer.render("linux/rollback.sh.j2", script_name="rollback", changes=True)


def linux_scripts(renderer: Renderer, context: LinuxContext) -> Mapping[str, Script]:
    """Return the scripts of a run, and the files that `arm` and `confirm` write on the host, by name."""
    files = _host_files(renderer, context)
    common = _common(context)
    boot = renderer.render("linux/host/boot.sh.j2", script_name="boot.sh", changes=True)
    written = {name: script.text for name, script in files.items()}
    scripts = {
        "arm": _render(
            renderer,
            "arm",
            parts=files.values(),
            files=written,
            delimiter=_delimiter(written.values()),
            desired=_word(context.desired),
            **common,
        ),
        "apply": _render(renderer, "apply", parts=(), **common),
        "confirm": _render(
            renderer, "confirm", parts=(boot,), boot=boot.text, delimiter=_delimiter((boot.text,)), **common
        ),
        "rollback": rollback_script(renderer),
    }
    return {**scripts, **files, "boot.sh": boot}


def _common(context: LinuxContext) -> dict[str, str]:
    uses_iptables = context.backend == "iptables"
    return {
        "run_id": context.run_id,
        "backend": context.backend,
        "iptables": context.iptables if uses_iptables and Family.IPV4 in context.families else "",
        "ip6tables": context.ip6tables if uses_iptables and context.has_ipv6 else "",
        "fwfix_version": _word(context.fwfix_version),
    }


def _host_files(renderer: Renderer, context: LinuxContext) -> dict[str, Script]:
    """Render what lies in the record: our rules, and their rollback."""
    found: dict[str, Script] = {}
    if context.backend == "nft":
        found["rules.nft"] = _rules(renderer, context, "rules.nft", context.families)
    else:
        if Family.IPV4 in context.families:
            found["rules.v4"] = _rules(renderer, context, "rules.v4", (Family.IPV4,))
        if context.has_ipv6:
            found["rules.v6"] = _rules(renderer, context, "rules.v6", (Family.IPV6,))
    found["rollback.sh"] = renderer.render(
        "linux/host/rollback.sh.j2", script_name="rollback.sh", changes=True, **_common(context)
    )
    return found


def _rules(renderer: Renderer, context: LinuxContext, name: str, families: Sequence[Family]) -> Script:
    template = "linux/host/rules.nft.j2" if name == "rules.nft" else "linux/host/rules.iptables.j2"
    rules = make_rules(context.protections, context.published, families)
    return renderer.render(
        template,
        script_name=name,
        changes=True,
        run_id=context.run_id,
        family=6 if name == "rules.v6" else 4,
        rules=rules,
        forwards=any(rule.forwarded for rule in rules),
    )


def _render(renderer: Renderer, name: str, *, parts: Iterable[Script], **context: object) -> Script:
    """Render a script that carries others; its provenance is theirs too."""
    script = renderer.render(f"linux/{name}.sh.j2", script_name=name, changes=True, **context)
    origins = {origin.name: origin for part in (*parts, script) for origin in part.templates}
    return replace(script, templates=tuple(origins[key] for key in sorted(origins)))


def _delimiter(texts: Iterable[str]) -> str:
    """Return a word that ends a here-document and stands in none of the texts."""
    texts = tuple(texts)
    for text in texts:
        if not text.endswith("\n"):
            raise RenderError("A file for a host does not end with a line break.")
    digest = hashlib.sha256("".join(texts).encode()).hexdigest()
    return f"END_OF_FILE_{digest[:16]}"


def _word(text: str) -> str:
    """Check a value that is written into the record as it is."""
    if not text.isprintable() or any(character in text for character in "$`\\"):
        raise RenderError(f"{text!r} cannot stand in the record of a host.")
    return text
