"""The faults of the WS-Management service: codes, subcodes and words as Windows has them.

The four that the recordings hold (time-out, unknown command, bad parameter, missing file) are exact to the
last blank; the others follow wsmerror.h, MS-WSMV and DSP0226.
"""

from dataclasses import dataclass, replace

from fwfix.errors import LabError

_DETAIL = "http://schemas.dmtf.org/wbem/wsman/1/wsman/faultDetail/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One answer of HTTP status 500.

    Attributes:
        code: of the WSManFault element.
        sender: whether the client is to blame.
        subcode: qualified with the prefix that the namespace has in every answer; empty for none.
        message: of the WSManFault element; the reason where Windows repeats it.
        detail: last part of the faultDetail address; empty for none.
        plugin: whether the shell's plugin said it, and not the service.
        culprit: extra element of the detail, as XML.
    """

    code: int
    sender: bool
    subcode: str
    reason: str
    message: str = ""
    detail: str = ""
    plugin: bool = False
    culprit: str = ""
    value: str = ""

    @property
    def detail_address(self) -> str:
        """The full address of the detail; empty for none."""
        return _DETAIL + self.detail if self.detail else ""


class FaultError(LabError):
    """The request is answered with a fault."""

    code = "wsman-fault"

    def __init__(self, fault: Fault) -> None:
        super().__init__(f"{fault.code} {fault.subcode}: {fault.message or fault.reason}")
        self.fault = fault


_WSMAN = "The WS-Management service cannot "
_SELECTORS = _WSMAN + (
    "process the request because the request contained invalid selectors for the resource. "
)
_HEADERS = _WSMAN + "process the request. The request contains one or more invalid SOAP headers. "
_SCHEMA = (
    "The SOAP XML in the message does not match the corresponding XML schema definition. "
    "Change the XML and retry. "
)

TIMED_OUT = Fault(
    code=2150858793,
    sender=False,
    subcode="w:TimedOut",
    reason=_WSMAN + "complete the operation within the time specified in OperationTimeout.  ",
)
UNKNOWN_COMMAND = Fault(
    code=2150858843,
    sender=True,
    subcode="w:InvalidSelectors",
    reason=_SELECTORS,
    message="The Windows Remote Shell received a request to perform an operation on a command identifier "
    "that does not exist. Either the command has completed execution or the client specified an invalid "
    "command identifier. ",
    detail="UnexpectedSelectors",
)
BAD_PARAMETER = Fault(
    code=87,
    sender=True,
    subcode="w:InvalidParameter",
    reason="The parameter is incorrect. ",
    detail="InvalidValue",
    plugin=True,
)
FILE_NOT_FOUND = Fault(
    code=2147942402,
    sender=False,
    subcode="w:InternalError",
    reason="The system cannot find the file specified. ",
    plugin=True,
)
PIPE_CLOSING = replace(FILE_NOT_FOUND, code=2147942632, reason="The pipe is being closed. ")
NO_PROCESS_QUOTA = replace(
    FILE_NOT_FOUND, code=2147944216, reason="Not enough quota is available to process this command. "
)
ABORTED = Fault(
    code=995,
    sender=False,
    subcode="w:InternalError",
    reason="The I/O operation has been aborted because of either a thread exit or an application request. ",
)
ACCESS_DENIED = Fault(code=5, sender=True, subcode="w:AccessDenied", reason="Access is denied. ")
BAD_XML = Fault(code=2150858817, sender=True, subcode="w:SchemaValidationError", reason=_SCHEMA)
BAD_HEADER = Fault(code=2150858767, sender=True, subcode="a:InvalidMessageInformationHeader", reason=_HEADERS)
NO_BODY = replace(
    BAD_HEADER,
    message=_WSMAN
    + "process the request. The SOAP packet that WS-Management received did not contain a valid "
    "Body element. ",
)
MISSING_HEADER = Fault(
    code=2150858769,
    sender=True,
    subcode="a:MessageInformationHeaderRequired",
    reason=_WSMAN + "process the request. The request does not have all the expected SOAP headers. ",
)
NOT_UNDERSTOOD = Fault(
    code=2150858768,
    sender=True,
    subcode="",
    value="s:MustUnderstand",
    reason=_WSMAN
    + "process a SOAP header in the request that is marked as mustUnderstand by the client.  This "
    "could be caused by the use of a version of the protocol which is not supported, or may be an "
    "incompatibility  between the client and server implementations. ",
)
WRONG_SOAP = Fault(
    code=2150858765,
    sender=True,
    subcode="",
    value="s:VersionMismatch",
    reason="The WS-Management service does not support the SOAP version specified in the request. ",
)
NO_RESOURCE = Fault(
    code=2150858752,
    sender=True,
    subcode="a:DestinationUnreachable",
    reason=_WSMAN
    + "process the request. The service cannot find the resource identified by the resource URI "
    "and selectors. ",
    detail="InvalidResourceURI",
)
MISSING_RESOURCE = replace(
    NO_RESOURCE,
    code=2150858811,
    reason=_WSMAN
    + "process the request. The resource URI is missing or it has an incorrect format. Check the "
    'documentation or use the following command for information on how to construct a resource URI: "winrm '
    'help uris".  ',
)
MISSING_SELECTOR = Fault(
    code=2150858842,
    sender=True,
    subcode="w:InvalidSelectors",
    reason=_WSMAN + "process the request because the request did not contain all required selectors. ",
    detail="InsufficientSelectors",
)
ALREADY_EXISTS = Fault(
    code=2150858803,
    sender=True,
    subcode="w:AlreadyExists",
    reason=_WSMAN + "create the resource because it already exists. ",
)
TIMEOUT_TOO_SMALL = Fault(
    code=2150858764,
    sender=True,
    subcode="w:InvalidParameter",
    reason="The WS-Management service does not support the specified timeout. The value specified is smaller "
    "than the minimum allowed value for this setting. Change the timeout value and try the request again. ",
    detail="InvalidTimeout",
)
ENVELOPE_TOO_SMALL = Fault(
    code=2150858878,
    sender=True,
    subcode="w:EncodingLimit",
    reason="The maximum envelope size in the request is too small. Change the maximum envelope size and try "
    "the request again. ",
    detail="MinimumEnvelopeLimit",
)
ANSWER_TOO_LARGE = Fault(
    code=2150858824,
    sender=True,
    subcode="w:EncodingLimit",
    reason="The response that the WS-Management service computed exceeds the maximum envelope size in the "
    "request. ",
    detail="MaxEnvelopeSize",
)
UNSUPPORTED_OPTION = Fault(
    code=2150858833,
    sender=True,
    subcode="w:InvalidOptions",
    reason="The WS-Management provider does not support the specified option set because mustComply for one "
    "of the options is set to true. Change mustComply for one of the options to false. ",
    detail="NotSupported",
)


def unknown_action(action: str) -> Fault:
    """Return the fault for an action that the service, or the resource, does not know."""
    return Fault(
        code=2150858771,
        sender=True,
        subcode="a:ActionNotSupported",
        reason="The WS-Management service does not support the action specified in the request. ",
        culprit=action,
    )


def unknown_shell(shell_id: str) -> Fault:
    """Return the fault for a shell that is not there, or not there any more."""
    return replace(
        UNKNOWN_COMMAND,
        message=f"The request for the Windows Remote Shell with ShellId {shell_id} failed because the shell "
        "was not found on the server. Possible causes are: the specified ShellId is incorrect or the shell "
        "no longer exists on the server. Provide the correct ShellId or create a new shell and retry the "
        "operation. ",
    )


def too_many_shells(limit: int) -> Fault:
    """Return the fault for MaxShellsPerUser."""
    return _quota(
        2150859173,
        f"This user is allowed a maximum number of {limit} concurrent shells, which has been exceeded. Close "
        "existing shells or raise the quota for this user. ",
    )


def too_many_operations(limit: int) -> Fault:
    """Return the fault for MaxConcurrentOperationsPerUser."""
    return _quota(
        2150859174,
        f"This user is allowed a maximum number of {limit} concurrent operations, which has been exceeded. "
        "Close existing operations for this user, or raise the quota for this user. ",
    )


def too_many_users() -> Fault:
    """Return the fault for MaxConcurrentUsers."""
    return _quota(
        2150859179,
        "The maximum number of users executing shell operations has been exceeded. Retry after sometime or "
        "raise the quota for concurrent shell users. ",
    )


def _quota(code: int, text: str) -> Fault:
    return Fault(
        code=code, sender=True, subcode="w:QuotaLimit", reason=_WSMAN + f"process the request. {text}"
    )
