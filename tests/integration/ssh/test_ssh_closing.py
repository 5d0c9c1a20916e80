"""A connection is closed in an order in which its thread can never read what belongs to another one."""

import contextlib
import socket
import threading

from fwfix.executors.ssh_transport import Link


class Watched(socket.socket):
    """A socket whose reader is held up on its way to the kernel, as on a busy machine."""

    reading = threading.Event()
    may_read = threading.Event()
    was_closed = threading.Event()

    def recv(self, size: int, flags: int = 0) -> bytes:
        self.reading.set()
        self.may_read.wait(10)
        return super().recv(size, flags)

    def close(self) -> None:
        self.was_closed.set()
        super().close()


def test_no_descriptor_is_given_back_while_the_thread_of_the_connection_may_still_read_it() -> None:
    ours, theirs = socket.socketpair()
    stream = Watched(fileno=ours.detach())
    link = Link(stream, host_key_algorithms=("ssh-ed25519",))

    def shake() -> None:
        with contextlib.suppress(EOFError, OSError):
            link.handshake()

    handshake = threading.Thread(target=shake)
    handshake.start()
    assert stream.reading.wait(10)
    ending = threading.Thread(target=link.end)
    ending.start()
    assert not stream.was_closed.wait(0.5)
    stream.may_read.set()
    for thread in (ending, handshake):
        thread.join(10)
    assert stream.was_closed.is_set()
    assert not link.is_alive()
    theirs.close()
