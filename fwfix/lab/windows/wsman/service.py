"""One body in, one body out: from the bytes of a SOAP message to the bytes of its answer."""

from dataclasses import dataclass, replace

from fwfix.lab.windows.wsman import faults
from fwfix.lab.windows.wsman.config import WsmanConfig
from fwfix.lab.windows.wsman.envelope import Origin, answer, fault, identity
from fwfix.lab.windows.wsman.faults import Fault, FaultError
from fwfix.lab.windows.wsman.operations import Caller, Operations
from fwfix.lab.windows.wsman.soap import IDENTITY, Message, S, parse_message, parse_xml, relates_to

# What an unauthenticated client may know of the system's version.
UNKNOWN_VERSION = "0.0.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer before HTTP is around it."""

    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Parsed:
    """A request that was read, or the fault that it gets.

    Attributes:
        message: None for Identify and for a request that cannot be read.
        refusal: the answer, if it is decided already.
    """

    message: Message | None = None
    refusal: Answer | None = None

    @property
    def verb(self) -> str:
        """The last word of the action; empty without one."""
        return "" if self.message is None else self.message.action.rpartition("/")[2]


def read(body: bytes, config: WsmanConfig, *, host: str) -> Parsed:
    """Read a request.

    Args:
        body: the SOAP message.
        config: of the service.
        host: how the client calls this host, from HTTP; used until the message says it.
    """
    origin = Origin(relates_to="", machine=host, activity=config.activity_ids)
    try:
        root = parse_xml(body)
        if root.find(f"{{{S}}}Body/{{{IDENTITY}}}Identify") is not None:
            return Parsed(
                refusal=Answer(status=200, body=identity(config.machine.version.rpartition(".")[0]))
            )
        origin = replace(origin, relates_to=relates_to(root))
        return Parsed(message=parse_message(root))
    except FaultError as error:
        return Parsed(refusal=_refused(error.fault, origin))


def identify_only(body: bytes) -> Answer | None:
    """Answer somebody who has not logged on: Identify, and nothing else."""
    try:
        asked = parse_xml(body).find(f"{{{S}}}Body/{{{IDENTITY}}}Identify") is not None
    except FaultError:
        asked = False
    return Answer(status=200, body=identity(UNKNOWN_VERSION)) if asked else None


def perform(message: Message, operations: Operations, caller: Caller) -> Answer:
    """Do what the message says."""
    origin = Origin(
        relates_to=message.message_id,
        machine=message.machine,
        language=message.language,
        activity=operations.config.activity_ids,
    )
    try:
        action, body = operations.perform(message, caller)
    except FaultError as error:
        return _refused(error.fault, origin)
    packed = answer(action, body, origin)
    if len(packed) > message.max_envelope_size:
        return _refused(faults.ANSWER_TOO_LARGE, origin)
    return Answer(status=200, body=packed)


def _refused(what: Fault, origin: Origin) -> Answer:
    return Answer(status=500, body=fault(what, origin))
