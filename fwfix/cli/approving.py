"""What apply and plan ask of approvals and of the site, before any host is touched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fwfix.errors import PlanFileError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from fwfix.approvals import Approval, Signature
    from fwfix.journal import Journal
    from fwfix.loading.plan_file import PlanFile
    from fwfix.model.inventory import ApprovalRule
    from fwfix.model.plan import Plan
    from fwfix.model.policy import Protection
    from fwfix.model.site import Demand, Site

APPROVED = "approved"

RequireApprovals = Annotated[
    int | None,
    typer.Option(
        "--require-approvals",
        metavar="N",
        min=0,
        help="So many people must have signed the plan; only ever adds to the inventory.",
        show_default=False,
    ),
]
AllowedSigners = Annotated[
    Path | None,
    typer.Option(
        "--allowed-signers",
        metavar="FILE",
        help="Whose signatures count (ssh-keygen, ALLOWED SIGNERS); also those of the inventory.",
        show_default=False,
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line says about approvals."""

    required: int | None = None
    allowed_signers: Path | None = None

    def added_to(self, rules: Sequence[ApprovalRule]) -> tuple[ApprovalRule, ...]:
        """Return the rules with that of the command line, which can only tighten them."""
        from fwfix.model.inventory import ApprovalRule

        known = tuple(rule for rule in rules if rule.required or rule.allowed_signers is not None)
        if self.required is None and self.allowed_signers is None:
            return known
        signers = None if self.allowed_signers is None else self.allowed_signers.expanduser().resolve()
        # It says nothing about the author: where nobody else does either, he may not approve.
        author = any(rule.required for rule in known)
        mine = ApprovalRule(required=self.required or 0, allowed_signers=signers, author_may_approve=author)
        return (*known, mine)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedPlan:
    """A saved plan with the signatures that lie beside it, all of them for exactly these bytes."""

    file: PlanFile
    content: bytes
    signatures: tuple[Signature, ...]

    @property
    def plan(self) -> Plan:
        """The plan."""
        return self.file.plan


def read_signed(path: Path, *, foreign: bool = False) -> SignedPlan:
    """Read a plan and its signatures; the bytes that are judged are those that are parsed.

    Raises:
        PlanFileError: it is not a plan.
        RefusedError: somebody signed something else than this; not with `foreign`.
    """
    from fwfix.approvals import refuse_foreign, signatures_beside
    from fwfix.loading.plan_file import PlanFile, digest_of, parse_plan

    try:
        content = path.read_bytes()
    except OSError as exc:
        raise PlanFileError(f"cannot be read: {exc.strerror}", path=path) from exc
    signatures = signatures_beside(path)
    if not foreign:
        refuse_foreign(content, signatures)
    plan = parse_plan(content, path=path)
    file = PlanFile(plan=plan, digest=digest_of(content), path=path)
    return SignedPlan(file=file, content=content, signatures=signatures)


def demanded(site: Site, rules: Sequence[ApprovalRule]) -> Demand:
    """Return what the site and the rules ask for together."""
    from fwfix.model.site import demand_of

    return demand_of((*site.approvals, *rules))


def refuse_unapproved(demand: Demand) -> None:
    """Refuse to plan and apply at once where somebody else must have seen the plan.

    Raises:
        RefusedError: approvals are required.
    """
    from fwfix.model.wording import plural

    if demand.required:
        raise RefusedError(
            f"{plural(demand.required, 'approval')} needed, and nobody can have approved a plan made now",
            next="Save it with fwfix plan -o PLAN, have it approved, then: fwfix apply PLAN.",
            code="missing-approval",
        )


def refuse_by_site(site: Site, plan: Plan, *, ticket: str, changed: int = 0) -> None:
    """Refuse a run that is larger than the site allows, touches a forbidden port or has no ticket.

    Where a run goes on, the hosts that it has `changed` before count as well.

    Raises:
        RefusedError: it is one of these.
    """
    site.refuse_ticket(ticket)
    started = {name for wave in plan.waves for name in wave}
    hosts = [each for each in plan.hosts if each.host.name in started and not each.stopping(plan.accepted)]
    site.refuse_ports((each.host.name, each.protections) for each in hosts)
    site.refuse_size(len(hosts) + changed)


def refuse_early(site: Site, protections: Mapping[str, tuple[Protection, ...]], *, ticket: str) -> None:
    """Refuse what can be refused before any host is contacted.

    Raises:
        RefusedError: the ticket is missing, or a policy names a forbidden port.
    """
    site.refuse_ticket(ticket)
    site.refuse_ports(protections.items())


def write_approvals(journal: Journal, run_id: str, digest: str, approvals: Sequence[Approval]) -> None:
    """Keep in the journal who approved what, with the signature itself."""
    for each in approvals:
        body = {
            "principals": list(each.principals),
            "key": each.key,
            "plan_digest": digest,
            "file": each.signature.name,
            "signature": each.signature.text.decode("ascii", "replace"),
        }
        journal.append(run_id, None, APPROVED, body)
