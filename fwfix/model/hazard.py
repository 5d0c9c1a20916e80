"""What may go wrong on a host, with codes that stay the same."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """`stop` keeps a host out of the run unless accepted; `warn` is only shown."""

    STOP = "stop"
    WARN = "warn"


STOP_CODES = frozenset(
    {
        "listener-is-exporter",
        "session-would-be-cut",
        "container-bypass",
        "family-unprotected",
        "firewall-manager-would-wipe",
        "config-management-would-wipe",
        "rule-shadowed",
        "save-on-stop",
        "bjnp-client",
        "narrows-protection",
        "not-a-printing-port",
        "unproven",
        "rule-would-not-be-enforced",
    }
)
WARN_CODES = frozenset(
    {
        "listener-unknown",
        "forwarding-gateway",
        "controller-is-allowed",
        "not-persistent",
        "deadline-short",
        "nobody-allowed",
        "family-loses-access",
        "action-ignored",
        "shielded",
        "sessions-unknown",
        "other-rule-on-port",
        "prints-elsewhere",
    }
)


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Hazard:
    """One thing that may go wrong, said in terms of this host."""

    code: str
    message: str

    def __post_init__(self) -> None:
        if self.code not in STOP_CODES and self.code not in WARN_CODES:
            raise ValueError(f"{self.code!r} is not a hazard code")

    @property
    def severity(self) -> Severity:
        """Whether it stops the host."""
        return Severity.STOP if self.code in STOP_CODES else Severity.WARN
