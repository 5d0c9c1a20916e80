"""paramiko's transport, made to end: no polling, no timer thread, and a cut that always works."""

import logging
import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

import paramiko
from paramiko.message import Message
from paramiko.packet import Packetizer

from fwfix.executors.ssh_knock import KnockingTransport

# paramiko logs what it raises a second time, with tracebacks; our errors say it once.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

_AHEAD = 1 << 16
_BANNER_SECONDS = 3600.0  # our own deadlines end every wait; paramiko's must not fire before them
_JOIN_SECONDS = 5.0

# What a transport runs over: TCP or a ProxyCommand, or a channel through a jump host.
Stream = socket.socket | paramiko.Channel


class _ReadAhead:
    """A stream that reads what is there, where paramiko asks for a few bytes twice per packet."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._ready = b""
        self.send = stream.send
        self.close = stream.close

    def recv(self, size: int) -> bytes:
        """Return up to `size` bytes; only the transport's own thread reads."""
        ready = self._ready or self._stream.recv(_AHEAD)
        self._ready = ready[size:]
        return ready[:size]


class _QuietPacketizer(Packetizer):
    """A packetizer without the timer thread of its own: the watch ends a handshake that hangs."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(_ReadAhead(stream))  # type: ignore[arg-type] # it needs no more of a socket

    def start_handshake(self, timeout: float) -> None:
        """Start nothing."""


class Link(KnockingTransport):
    """One SSH connection."""

    # A read wakes up only for data or because `cut` closed the stream.
    _active_check_timeout = 60.0
    # AES-GCM needs no separate MAC; curve25519 is several times cheaper than the others. Everything that
    # paramiko knows stays on offer behind them, for old hosts.
    _preferred_ciphers = (
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        *(
            name
            for name in paramiko.Transport._preferred_ciphers  # type: ignore[attr-defined]  # noqa: SLF001 - as its own hint says
            if "gcm" not in name
        ),
    )
    _preferred_kex = (
        "curve25519-sha256@libssh.org",
        *(
            name
            for name in paramiko.Transport._preferred_kex  # type: ignore[attr-defined]  # noqa: SLF001 - the same
            if name != "curve25519-sha256@libssh.org"
        ),
    )

    def __init__(self, stream: Stream, *, host_key_algorithms: Sequence[str]) -> None:
        """Prepare a connection over a stream.

        Args:
            stream: connected; belongs to this transport from now on.
            host_key_algorithms: what to accept as host key, best first.
        """
        self._host_key_algorithms = tuple(host_key_algorithms)
        self._stream = stream
        self.host_key_blob = b""
        self.farewell = ""
        self._waits: set[socket.socket] = set()
        self._waits_lock = threading.Lock()
        super().__init__(stream, packetizer_class=_QuietPacketizer)
        self.banner_timeout = _BANNER_SECONDS
        self.clear_to_send_timeout = _BANNER_SECONDS
        self.auth_timeout = _BANNER_SECONDS

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """The host key algorithms to offer: those that we can check first."""
        return self._host_key_algorithms

    def _verify_key(self, host_key: bytes, sig: bytes) -> None:
        self.host_key_blob = host_key
        super()._verify_key(host_key, sig)  # type: ignore[misc] # left out of the stubs

    def _filter_algorithm(self, type_: str) -> tuple[str, ...]:
        # Nothing is ever disabled; paramiko asks several times per connection.
        return tuple(getattr(self, f"_preferred_{type_}"))

    def _parse_debug(self, m: Message) -> None:
        """Read over what sshd says for debugging."""

    def _parse_disconnect(self, m: Message) -> None:
        m.get_int()
        self.farewell = m.get_text()

    def _log(self, level: int, msg: str, *args: object) -> None:
        if self.logger.isEnabledFor(level):
            super()._log(level, msg, *args)  # type: ignore[misc] # the same

    def get_exception(self) -> Exception | None:
        """Return what ended the connection; whatever its thread met besides counts as a broken protocol."""
        error = super().get_exception()
        if error is None or isinstance(error, (paramiko.SSHException, EOFError, OSError)):
            return error
        broken = paramiko.SSHException(f"{type(error).__name__} {error}".rstrip())
        broken.__cause__ = error
        return broken

    @property
    def dropped_unheard(self) -> bool:
        """The other side ended the connection before it said that it speaks SSH."""
        return not self.remote_version

    def handshake(self) -> None:
        """Exchange keys; blocks until done or cut."""
        done = threading.Event()
        self.start_client(event=done)
        done.wait()
        if not self.active or not self.initial_kex_done:
            raise self.get_exception() or EOFError("the connection was closed")

    @contextmanager
    def waiting_for(self, other: socket.socket) -> Iterator[None]:
        """Wait for somebody else on our behalf, as for an agent to sign; `cut` ends that wait too.

        Raises:
            ConnectionAbortedError: the connection is cut already.
        """
        with self._waits_lock:
            if not self.active:
                raise ConnectionAbortedError
            self._waits.add(other)
        try:
            yield
        finally:
            with self._waits_lock:
                self._waits.discard(other)

    def cut(self) -> None:
        """End the connection now, from any thread; neither blocks nor raises."""
        with self._waits_lock:
            self.active = False
            for other in self._waits:
                end_stream(other)
        end_stream(self._stream)
        for channel in list(self._channels.values()):  # type: ignore[attr-defined] # the same
            wake(channel)
        if self.auth_handler is not None:
            self.auth_handler.abort()
        if self.completion_event is not None:
            self.completion_event.set()
        for event in list(self.channel_events.values()):
            event.set()

    def end(self) -> None:
        """Close the connection and wait for its thread.

        Nothing is closed before the thread has ended: it may be about to read, and would then read from
        whichever connection of ours gets the same file descriptor next.
        """
        self.cut()
        if self.is_alive() and threading.current_thread() is not self:
            self.join(_JOIN_SECONDS)
        if self.is_alive():
            return  # it closes everything itself as soon as it comes to it
        self.packetizer.close()
        with suppress(paramiko.SSHException, EOFError, OSError):  # through a jump host that is gone
            self._stream.close()


def end_stream(stream: Stream) -> None:
    """Wake everybody who reads or writes a stream, for good; neither blocks nor raises."""
    if isinstance(stream, socket.socket):
        try:
            stream.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # not connected any more
    elif isinstance(stream, paramiko.Channel):
        wake(stream)


def wake(channel: paramiko.Channel) -> None:
    """Let everybody who waits for a channel see its end, without sending anything."""
    channel.in_buffer.close()
    channel.in_stderr_buffer.close()
    with channel.lock:
        channel.eof_sent = True
        channel.out_buffer_cv.notify_all()
    channel.event.set()
    channel.status_event.set()
