"""The process behind `PostgresProxy`: it passes the protocol on and cuts where it was told to.

A process of its own, because libpq's blocking calls, such as connecting, keep the interpreter lock:
a thread of the client's process could not answer them. It needs nothing but the standard library.

Started with `host port` or with the path of a socket, it writes one line with its two ports, and
ends when its standard input does. On the second port it takes one request per connection, a line of
JSON `{"method": …, "arguments": {…}}`, and answers with a line of JSON.
"""

import contextlib
import json
import re
import socket
import socketserver
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

CutPoint: TypeAlias = Literal["before_commit", "committed_unanswered", "after_commit"]
"""`before_commit`: the server never sees the COMMIT, but all that was sent before it.
`committed_unanswered`: the server has committed; the client does not see its tag.
`after_commit`: the client sees the tag, and nothing after it."""

_RECEIVE_BYTES = 65_536
_CONNECT_TIMEOUT_S = 10.0

_PROTOCOL_3 = 3 << 16
_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104

_COMMIT_STATEMENT = re.compile(
    rb"(?:^|;)\s*COMMIT(?:\s+(?:WORK|TRANSACTION))?\s*(?:;|$)", re.IGNORECASE
)
_COMMIT_TAG = b"COMMIT\0"


class ProxyServer:
    """Accepts clients, and says of each commit whether it is one to cut."""

    def __init__(self, target: str | tuple[str, int]) -> None:
        self._target = target
        self._changed = threading.Condition()
        self._point: CutPoint | None = None
        self._cuts_left = 0
        self._commits_to_pass = 0
        self._cuts = 0
        self._cuts_silently = False
        self._is_refusing = False
        self._is_silent = False
        self._sessions: set[_Session] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]

    def accept_clients(self) -> None:
        while True:
            client, _ = self._listener.accept()
            with self._changed:
                is_refusing = self._is_refusing
            server = None if is_refusing else self._connect_target()
            if server is None:
                client.close()
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = _Session(self, client, server)
            with self._changed:
                if self._is_silent:
                    session.fall_silent()
                self._sessions.add(session)
            session.start(when_done=self._forget)

    def cut_at(self, *, point: CutPoint, count: int, skip: int, is_silent: bool) -> None:
        with self._changed:
            self._point = point
            self._cuts_silently = is_silent
            self._cuts_left = count
            self._commits_to_pass = skip

    def cut_now(self) -> None:
        with self._changed:
            sessions = tuple(self._sessions)
            self._count_cuts(len(sessions))
        for session in sessions:
            session.cut()

    def refuse_connections(self, *, is_refusing: bool) -> None:
        with self._changed:
            self._is_refusing = is_refusing

    def fall_silent(self, *, is_silent: bool) -> None:
        with self._changed:
            self._is_silent = is_silent
            sessions = tuple(self._sessions) if is_silent else ()
        for session in sessions:
            session.fall_silent()

    def count_cuts(self) -> int:
        with self._changed:
            return self._cuts

    def wait_for_cuts(self, *, cuts: int, timeout_s: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self._cuts >= cuts, timeout_s)

    def take_cut(self, point: CutPoint, session: "_Session") -> bool:
        """Cut the session if its commit, which has reached `point`, is one to cut; whether it was.

        Asked once per commit.
        """
        with self._changed:
            if point != self._point or self._cuts_left == 0:
                return False
            if self._commits_to_pass > 0:
                self._commits_to_pass -= 1
                return False
            self._cuts_left -= 1
            self._count_cuts(1)
            is_silent = self._cuts_silently
        if is_silent:
            session.fall_silent()
        else:
            session.cut()
        return True

    def _count_cuts(self, cuts: int) -> None:
        self._cuts += cuts
        self._changed.notify_all()

    def _forget(self, session: "_Session") -> None:
        with self._changed:
            self._sessions.discard(session)

    def _connect_target(self) -> socket.socket | None:
        try:
            if isinstance(self._target, tuple):
                server = socket.create_connection(self._target, timeout=_CONNECT_TIMEOUT_S)
                server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            else:
                server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                server.settimeout(_CONNECT_TIMEOUT_S)
                server.connect(self._target)
            server.settimeout(None)
        except OSError:
            return None
        return server


class _Session:
    """One client's connection and the one to the server that was made for it."""

    def __init__(self, proxy: ProxyServer, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._is_cut = threading.Event()
        self._is_silent = threading.Event()
        self._client_is_gone = threading.Event()
        self._commit_statements: set[bytes] = set()

    def start(self, when_done: Callable[["_Session"], None]) -> None:
        upwards = threading.Thread(target=self._pass_requests, daemon=True)
        downwards = threading.Thread(target=self._pass_answers, daemon=True)

        def tidy_up() -> None:
            upwards.join()
            downwards.join()
            self._client.close()
            self._server.close()
            when_done(self)

        for thread in (upwards, downwards, threading.Thread(target=tidy_up, daemon=True)):
            thread.start()

    def cut(self) -> None:
        """The client reads the end of the connection, the server sees its client gone.

        The client's side is closed only when the client has closed its own: closing with requests
        unread would reset the connection, and the client might lose answers that it should see.
        """
        self._is_cut.set()
        _shut_down(self._server, socket.SHUT_RDWR)
        _shut_down(self._client, socket.SHUT_WR)

    def fall_silent(self) -> None:
        """Both sides stay connected, and neither hears of the other until the client goes away."""
        self._is_silent.set()
        self._is_cut.set()

    def _pass_requests(self) -> None:
        with contextlib.suppress(OSError):
            stream = _Stream(self._client)
            if self._pass_startup(stream):
                for message in stream.read_messages():
                    if self._is_cut.is_set():
                        continue
                    if self._is_commit(message) and self._proxy.take_cut("before_commit", self):
                        continue
                    self._server.sendall(message)
        self._client_is_gone.set()
        _shut_down(self._server, socket.SHUT_WR)

    def _pass_startup(self, stream: "_Stream") -> bool:
        """The messages without a type; false where none with a type will follow."""
        while (message := stream.read_untyped()) is not None:
            if self._is_cut.is_set():
                continue
            (code,) = struct.unpack_from("!I", message, 4)
            if code in {_SSL_REQUEST, _GSS_REQUEST}:
                self._client.sendall(b"N")
                continue
            self._server.sendall(message)
            # Otherwise it is a request to cancel some other session's statement.
            return bool(code & 0xFFFF_0000 == _PROTOCOL_3)
        return False

    def _pass_answers(self) -> None:
        with contextlib.suppress(OSError):
            for message in _Stream(self._server).read_messages():
                is_commit = message[:1] == b"C" and message[5:] == _COMMIT_TAG
                if is_commit:
                    self._proxy.take_cut("committed_unanswered", self)
                if self._is_cut.is_set():
                    break
                self._client.sendall(message)
                if is_commit and self._proxy.take_cut("after_commit", self):
                    break
        if self._is_silent.is_set():
            self._client_is_gone.wait()
        _shut_down(self._client, socket.SHUT_WR)

    def _is_commit(self, message: bytes) -> bool:
        """Whether a client's message asks for a COMMIT; remembers which statements would."""
        kind, content = message[:1], message[5:]
        if kind == b"Q":
            return _COMMIT_STATEMENT.search(content.rstrip(b"\0")) is not None
        if kind == b"P":
            name, text, _ = content.split(b"\0", 2)
            if _COMMIT_STATEMENT.search(text):
                self._commit_statements.add(name)
            else:
                self._commit_statements.discard(name)
        elif kind == b"B":
            _portal, name, _ = content.split(b"\0", 2)
            return name in self._commit_statements
        return False


class _Stream:
    """Cuts what a socket receives into the protocol's messages."""

    def __init__(self, source: socket.socket) -> None:
        self._source = source
        self._received = bytearray()

    def read_untyped(self) -> bytes | None:
        """A message of length and content, as a connection begins; `None` at the end."""
        return self._read(header_bytes=0)

    def read_messages(self) -> Iterator[bytes]:
        """Messages of type, length and content, whole, until the end of the connection."""
        while (message := self._read(header_bytes=1)) is not None:
            yield message

    def _read(self, *, header_bytes: int) -> bytes | None:
        size_bytes = header_bytes + 4
        while len(self._received) < size_bytes:
            if not self._receive():
                return None
        size_bytes = header_bytes + struct.unpack_from("!I", self._received, header_bytes)[0]
        while len(self._received) < size_bytes:
            if not self._receive():
                return None
        message = bytes(self._received[:size_bytes])
        del self._received[:size_bytes]
        return message

    def _receive(self) -> bool:
        received = self._source.recv(_RECEIVE_BYTES)
        self._received += received
        return bool(received)


def _shut_down(connection: socket.socket, how: int) -> None:
    """Wakes whoever waits to read there, which closing would not."""
    with contextlib.suppress(OSError):
        connection.shutdown(how)


def _make_control(proxy: ProxyServer) -> socketserver.ThreadingTCPServer:
    methods: dict[str, Callable[..., Any]] = {
        method.__name__: method
        for method in (
            proxy.cut_at,
            proxy.cut_now,
            proxy.refuse_connections,
            proxy.fall_silent,
            proxy.count_cuts,
            proxy.wait_for_cuts,
        )
    }

    class Control(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            request = json.loads(self.rfile.readline())
            answer = methods[request["method"]](**request["arguments"])
            self.wfile.write(json.dumps(answer).encode() + b"\n")

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Control)
    server.daemon_threads = True
    return server


def main(arguments: list[str]) -> None:
    proxy = ProxyServer(arguments[0] if len(arguments) == 1 else (arguments[0], int(arguments[1])))
    control = _make_control(proxy)
    for target in (proxy.accept_clients, control.serve_forever):
        threading.Thread(target=target, daemon=True).start()
    sys.stdout.write(f"{proxy.port} {control.server_address[1]}\n")
    sys.stdout.flush()
    # The end of the input is the end of whoever started this, however it came about.
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1:])
