"""pywinrm's protocol, with a time-out that may change from request to request, and messages from templates.

pywinrm writes every message anew with xmltodict, which takes longer than sending it. The messages here are
still pywinrm's: a header is what it wrote once, with gaps for what differs, and a test compares the rest.
"""

import base64
from collections.abc import Iterable, Mapping
from uuid import uuid4
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

import xmltodict
from winrm.exceptions import WinRMError
from winrm.protocol import Protocol, xmlns

_SHELL = "http://schemas.microsoft.com/wbem/wsman/1/windows/shell"
_TRANSFER = "http://schemas.xmlsoap.org/ws/2004/09/transfer"
_SELECTOR = "{http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd}Selector"
_COMMAND_ID, _STREAM, _STATE, _EXIT_CODE = (
    f"{{{_SHELL}}}{name}" for name in ("CommandId", "Stream", "CommandState", "ExitCode")
)
_RELATES_TO = f"{{{xmlns['soapenv']}}}Header/{{{xmlns['soapaddr']}}}RelatesTo"
_END = "</env:Header>"
# What pywinrm writes before the end of a header, by action.
_HEADERS: dict[str, str] = {}


class TimedProtocol(Protocol):
    """pywinrm's protocol; the service gives up on a request after `operation_seconds`."""

    operation_seconds: float

    def open_shell(self, *, codepage: int) -> str:  # type: ignore[override] # the only option of ours
        """Open a shell and return its id."""
        root = self._ask(
            f"{_TRANSFER}/Create",
            "<rsp:Shell><rsp:InputStreams>stdin</rsp:InputStreams>"
            "<rsp:OutputStreams>stdout stderr</rsp:OutputStreams></rsp:Shell>",
            options={"WINRS_NOPROFILE": "FALSE", "WINRS_CODEPAGE": str(codepage)},
        )
        for node in root.iter(_SELECTOR):
            if node.get("Name") == "ShellId":
                return node.text or ""
        raise WinRMError("the answer names no shell")

    def close_shell(self, shell_id: str, close_session: bool = True) -> None:  # noqa: FBT001, FBT002 - pywinrm's
        """Close a shell, which ends what runs in it."""
        try:
            self._ask(f"{_TRANSFER}/Delete", "", shell_id=shell_id)
        finally:
            if close_session:
                self.transport.close_session()

    def run_command(  # noqa: PLR0917 - pywinrm's
        self,
        shell_id: str,
        command: str,
        arguments: Iterable[str | bytes] = (),
        console_mode_stdin: bool = True,  # noqa: FBT001, FBT002 - pywinrm's
        skip_cmd_shell: bool = False,  # noqa: FBT001, FBT002 - pywinrm's
    ) -> str:
        """Start a command and return its id."""
        words = " ".join(each if isinstance(each, str) else each.decode() for each in arguments)
        root = self._ask(
            f"{_SHELL}/Command",
            f"<rsp:CommandLine><rsp:Command>{escape(command)}</rsp:Command>"
            + (f"<rsp:Arguments>{escape(words)}</rsp:Arguments>" if words else "")
            + "</rsp:CommandLine>",
            shell_id=shell_id,
            options={
                "WINRS_CONSOLEMODE_STDIN": str(console_mode_stdin).upper(),
                "WINRS_SKIP_CMD_SHELL": str(skip_cmd_shell).upper(),
            },
        )
        for node in root.iter(_COMMAND_ID):
            return node.text or ""
        raise WinRMError("the answer names no command")

    def send_command_input(
        self,
        shell_id: str,
        command_id: str,
        stdin_input: str | bytes,
        end: bool = False,  # noqa: FBT001, FBT002 - as pywinrm has it
    ) -> None:
        """Write to the standard input of a command, and close it where this is the end."""
        data = stdin_input.encode("437") if isinstance(stdin_input, str) else stdin_input
        self._ask(
            f"{_SHELL}/Send",
            f'<rsp:Send><rsp:Stream CommandId={quoteattr(command_id)} Name="stdin" End="{str(end).lower()}" '
            f'xmlns:rsp="{_SHELL}">{base64.b64encode(data).decode("ascii")}</rsp:Stream></rsp:Send>',
            shell_id=shell_id,
        )

    def get_command_output_raw(self, shell_id: str, command_id: str) -> tuple[bytes, bytes, int, bool]:
        """Return what a command wrote since the last time, its exit code, and whether it has ended."""
        root = self._ask(
            f"{_SHELL}/Receive",
            f"<rsp:Receive><rsp:DesiredStream CommandId={quoteattr(command_id)}>stdout stderr"
            "</rsp:DesiredStream></rsp:Receive>",
            shell_id=shell_id,
        )
        written = {"stdout": b"", "stderr": b""}
        for node in root.iter(_STREAM):
            if node.text:
                written[node.attrib["Name"]] += base64.b64decode(node.text)
        done = any(node.get("State", "").endswith("CommandState/Done") for node in root.iter(_STATE))
        code = next((int(node.text or -1) for node in root.iter(_EXIT_CODE)), -1) if done else -1
        return written["stdout"], written["stderr"], code, done

    def cleanup_command(self, shell_id: str, command_id: str) -> None:
        """End a command, whether it has ended by itself or not."""
        self._ask(
            f"{_SHELL}/Signal",
            f"<rsp:Signal CommandId={quoteattr(command_id)}><rsp:Code>{_SHELL}/signal/terminate</rsp:Code>"
            "</rsp:Signal>",
            shell_id=shell_id,
        )

    def _ask(
        self, action: str, body: str, *, shell_id: str = "", options: Mapping[str, str] | None = None
    ) -> ET.Element:
        """Send a message and return the answer to it."""
        message_id = str(uuid4())
        parts = [
            self._header(action, of_shell=shell_id != "").format(
                message=message_id, shell=escape(shell_id), duration=f"PT{self.operation_seconds:.3f}S"
            )
        ]
        if options:
            each = (f'<w:Option Name="{name}">{value}</w:Option>' for name, value in options.items())
            parts += ["<w:OptionSet>", *each, "</w:OptionSet>"]
        parts += [_END, "<env:Body>", body, "</env:Body></env:Envelope>"]
        root = ET.fromstring(self.send_message("".join(parts)))  # noqa: S314 - expat limits entities
        if root.findtext(_RELATES_TO, "").rpartition(":")[2].lower() != message_id:
            raise WinRMError("the answer belongs to another request")
        return root

    def _header(self, action: str, *, of_shell: bool) -> str:
        """Return a message up to the end of its header, as pywinrm writes it."""
        if action not in _HEADERS:
            header = self.build_wsman_header(
                action, f"{_SHELL}/cmd", "{shell}" if of_shell else None, message_id="{message}"
            )
            header["env:Header"]["w:OperationTimeout"] = "{duration}"
            _HEADERS[action] = xmltodict.unparse({"env:Envelope": header}).partition(_END)[0]
        return _HEADERS[action]
