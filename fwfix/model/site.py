"""What the site demands of every run: approvals, blackouts, forbidden ports, size, a ticket. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fwfix.errors import RefusedError, UsageError
from fwfix.model.inventory import ApprovalRule
from fwfix.model.policy import Protection, Service
from fwfix.model.wording import plural


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What several approval rules ask for together: each of them can only tighten it.

    Attributes:
        required: distinct principals with distinct keys.
        signer_files: allowed_signers files; a signer must be listed in every one of them.
    """

    required: int = 0
    signer_files: tuple[Path, ...] = ()
    author_may_approve: bool = False


def demand_of(rules: Iterable[ApprovalRule]) -> Demand:
    """Put rules together: the largest number, every list of signers, the author only where all agree.

    Raises:
        UsageError: approvals are required and nobody is listed who could give them.
    """
    given = [rule for rule in rules if rule.required or rule.allowed_signers is not None]
    required = max((rule.required for rule in given), default=0)
    files = tuple(dict.fromkeys(rule.allowed_signers for rule in given if rule.allowed_signers is not None))
    if required and not files:
        raise UsageError(
            f"{plural(required, 'approval')} needed, and no allowed_signers file says whose count",
            next="Name it under approvals: in the inventory, or with --allowed-signers FILE.",
        )
    asking = [rule.author_may_approve for rule in given if rule.required]
    return Demand(required=required, signer_files=files, author_may_approve=bool(asking) and all(asking))


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The limits of one site; the defaults limit nothing.

    Attributes:
        forbidden: ports that no run may touch.
        most_hosts: that one run may change; None for any number.
        sources: the files that say so, for messages.
    """

    approvals: tuple[ApprovalRule, ...] = ()
    blackouts: tuple[str, ...] = ()
    forbidden: tuple[Service, ...] = ()
    most_hosts: int | None = None
    ticket_required: bool = False
    sources: tuple[str, ...] = ()

    def tightened(self, other: "Site") -> "Site":
        """Return what both demand."""
        limits = [limit for limit in (self.most_hosts, other.most_hosts) if limit is not None]
        return Site(
            approvals=(*self.approvals, *other.approvals),
            blackouts=tuple(dict.fromkeys((*self.blackouts, *other.blackouts))),
            forbidden=tuple(dict.fromkeys((*self.forbidden, *other.forbidden))),
            most_hosts=min(limits, default=None),
            ticket_required=self.ticket_required or other.ticket_required,
            sources=(*self.sources, *other.sources),
        )

    def refuse_ticket(self, ticket: str) -> None:
        """Refuse a run without a ticket where one is required.

        Raises:
            RefusedError: there is none.
        """
        if self.ticket_required and not ticket.strip():
            raise self._refused("a run needs a ticket", code="ticket-required", hint="Give --ticket TEXT.")

    def refuse_ports(self, protections: Iterable[tuple[str, Sequence[Protection]]]) -> None:
        """Refuse a run that would touch a forbidden port; the pairs are hosts and what they need.

        Raises:
            RefusedError: one would.
        """
        for host, needed in protections:
            for protection in needed:
                for port in self.forbidden:
                    if port.overlaps(protection.service):
                        raise self._refused(
                            f"{host}: {protection.service} touches {port}, which is forbidden",
                            code="forbidden-port",
                            hint="Take that port out of the policy.",
                        )

    def refuse_size(self, hosts: int) -> None:
        """Refuse a run that would change too many hosts.

        Raises:
            RefusedError: it would.
        """
        if self.most_hosts is not None and hosts > self.most_hosts:
            raise self._refused(
                f"this run would change {plural(hosts, 'host')}, and at most {self.most_hosts} are allowed",
                code="too-many-hosts",
                hint="Choose fewer with --limit.",
            )

    def _refused(self, message: str, *, code: str, hint: str) -> RefusedError:
        return RefusedError(f"{message} (by {', '.join(self.sources)})", next=hint, code=code)
