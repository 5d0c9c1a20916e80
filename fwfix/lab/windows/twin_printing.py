"""What listens on 9100 of a twin: takes print data and forgets it."""

import contextlib
import selectors
import socket
import threading

_CHUNK = 65536


class RawPrinting:
    """Raw printing servers behind bound sockets, all in one thread.

    Args:
        sockets: bound, not listening yet.
    """

    def __init__(self, sockets: tuple[socket.socket, ...]) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._end_sessions = False
        self._closing = False
        self._listening = sockets
        for each in sockets:
            each.listen(64)
            each.setblocking(False)
            self._selector.register(each, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._serve, name="twin-printing", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select():
                ready = key.fileobj
                assert isinstance(ready, socket.socket)
                if ready is self._woken:
                    ready.recv(_CHUNK)
                elif ready in self._listening:
                    self._welcome(ready)
                else:
                    self._take(ready)
            if self._end_sessions or self._closing:
                self._end_sessions = False
                self._drop_all()

    def _welcome(self, listening: socket.socket) -> None:
        with contextlib.suppress(OSError):
            session, _ = listening.accept()
            session.setblocking(False)
            self._selector.register(session, selectors.EVENT_READ)

    def _take(self, session: socket.socket) -> None:
        try:
            data = session.recv(_CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(session)

    def _drop(self, session: socket.socket) -> None:
        self._selector.unregister(session)
        session.close()

    def _drop_all(self) -> None:
        kept = (*self._listening, self._woken)
        for key in list(self._selector.get_map().values()):
            if key.fileobj not in kept:
                assert isinstance(key.fileobj, socket.socket)
                self._drop(key.fileobj)

    def end_sessions(self) -> None:
        """Cut everybody off, as a reboot does."""
        self._end_sessions = True
        self._wake.send(b"x")

    def close(self) -> None:
        """Stop listening."""
        self._closing = True
        self._wake.send(b"x")
        self._thread.join(10)
        for each in (*self._listening, self._wake, self._woken):
            each.close()
        self._selector.close()
