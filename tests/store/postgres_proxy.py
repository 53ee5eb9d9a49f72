"""A proxy in front of PostgreSQL that cuts the connection before, during or after a COMMIT.

    with PostgresProxy(server_url) as proxy:
        connection = psycopg.connect(proxy.url)
        proxy.cut_at("committed_unanswered")
        connection.execute(...)
        connection.commit()                     # fails; the server has committed

It reads the protocol in both directions, of the simple `Query` as well as of `Parse`, `Bind` and
`Execute` in a pipeline. From the client's side a COMMIT is a Query whose text holds that statement,
or a Bind to a statement that was parsed from it, whatever its name; from the server's side the
command tag `COMMIT`, and no other: a COMMIT that the server answers with `ROLLBACK` is none.

After a cut the client reads what had been passed on, and then the end of the connection; the server
sees a client that went away. TLS and GSS encryption are declined: nothing could be read in them.
"""

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Literal, Self, TypeAlias
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict

CutPoint: TypeAlias = Literal["before_commit", "committed_unanswered", "after_commit"]
"""`before_commit`: the server never sees the COMMIT, but all that was sent before it.
`committed_unanswered`: the server has committed; the client does not see its tag.
`after_commit`: the client sees the tag, and nothing after it."""

_RECEIVE_BYTES = 65_536
_CONNECT_TIMEOUT_S = 10.0
_CLOSE_TIMEOUT_S = 10.0

_PROTOCOL_3 = 3 << 16
_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104

_COMMIT_STATEMENT = re.compile(
    rb"(?:^|;)\s*COMMIT(?:\s+(?:WORK|TRANSACTION))?\s*(?:;|$)", re.IGNORECASE
)
_COMMIT_TAG = b"COMMIT\0"


class PostgresProxy:
    """Listens on a loopback port that the system gave; `close` ends all its connections."""

    def __init__(self, target_conninfo: str) -> None:
        parameters = {
            name: str(value)
            for name, value in conninfo_to_dict(target_conninfo).items()
            if value is not None
        }
        port = int(parameters.pop("port", "5432"))
        host = parameters.pop("host", "localhost")
        self._target: str | tuple[str, int] = (
            f"{host}/.s.PGSQL.{port}"
            if host.startswith("/")
            else (parameters.pop("hostaddr", host), port)
        )
        self._changed = threading.Condition()
        self._point: CutPoint | None = None
        self._cuts_left = 0
        self._commits_to_pass = 0
        self._cuts = 0
        self._is_refusing = False
        self._is_closing = False
        self._sessions: set[_Session] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._address: tuple[str, int] = self._listener.getsockname()
        parameters |= {"sslmode": "disable", "gssencmode": "disable"}
        database = quote(parameters.pop("dbname", ""), safe="")
        query = urlencode(parameters, quote_via=quote)
        self.url = f"postgresql://127.0.0.1:{self._address[1]}/{database}?{query}"
        """What the target's conninfo says, with the proxy's address."""
        self._acceptor = threading.Thread(target=self._accept, name="postgres-proxy", daemon=True)
        self._acceptor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def cut_at(self, point: CutPoint, *, count: int = 1, skip: int = 0) -> None:
        """Let `skip` commits pass, and cut the connection of each of the next `count` at `point`.

        Replaces what was asked for before; commits of all connections count together.
        """
        with self._changed:
            self._point = point
            self._cuts_left = count
            self._commits_to_pass = skip

    def cut_now(self) -> None:
        """Cut every connection that there is, wherever it stands."""
        with self._changed:
            sessions = tuple(self._sessions)
            self._cuts += len(sessions)
            self._changed.notify_all()
        for session in sessions:
            session.cut()

    def refuse_connections(self, is_refusing: bool) -> None:
        """End every new connection as soon as it is made; the present ones go on."""
        with self._changed:
            self._is_refusing = is_refusing

    @property
    def cuts(self) -> int:
        """How many connections were cut so far."""
        with self._changed:
            return self._cuts

    def wait_for_cuts(self, cuts: int, *, timeout_s: float = 30.0) -> bool:
        """Wait until so many connections were cut in all; false when that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._cuts >= cuts, timeout_s)

    def close(self) -> None:
        """End everything; may be called again."""
        with self._changed:
            if self._is_closing:
                return
            self._is_closing = True
        # A blocked accept() is woken by a connection on every system, by close() on none.
        with contextlib.suppress(OSError):
            socket.create_connection(self._address, timeout=_CONNECT_TIMEOUT_S).close()
        self._acceptor.join(_CLOSE_TIMEOUT_S)
        self._listener.close()
        with self._changed:
            sessions = tuple(self._sessions)
        for session in sessions:
            session.end()

    def take_cut(self, point: CutPoint) -> bool:
        """Whether the commit that has reached `point` is one to cut; asked once per commit."""
        with self._changed:
            if point != self._point or self._cuts_left == 0:
                return False
            if self._commits_to_pass > 0:
                self._commits_to_pass -= 1
                return False
            self._cuts_left -= 1
            self._cuts += 1
            self._changed.notify_all()
            return True

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            with self._changed:
                if self._is_closing:
                    client.close()
                    return
                is_refusing = self._is_refusing
            server = None if is_refusing else self._connect_target()
            if server is None:
                client.close()
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session = _Session(self, client, server)
            with self._changed:
                self._sessions.add(session)
            session.start(when_done=self._forget)

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

    def __init__(self, proxy: PostgresProxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._is_cut = threading.Event()
        self._commit_statements: set[bytes] = set()
        self._threads: tuple[threading.Thread, ...] = ()

    def start(self, when_done: Callable[["_Session"], None]) -> None:
        upwards = threading.Thread(target=self._pass_requests, daemon=True)
        downwards = threading.Thread(target=self._pass_answers, daemon=True)

        def tidy_up() -> None:
            upwards.join()
            downwards.join()
            self._client.close()
            self._server.close()
            when_done(self)

        last = threading.Thread(target=tidy_up, daemon=True)
        self._threads = (upwards, downwards, last)
        for thread in self._threads:
            thread.start()

    def cut(self) -> None:
        """The client reads the end of the connection, the server sees its client gone.

        The client's side is closed only when the client has closed its own: closing with requests
        unread would reset the connection, and the client might lose answers that it should see.
        """
        self._is_cut.set()
        _shut_down(self._server, socket.SHUT_RDWR)
        _shut_down(self._client, socket.SHUT_WR)

    def end(self) -> None:
        self._is_cut.set()
        _shut_down(self._server, socket.SHUT_RDWR)
        _shut_down(self._client, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(_CLOSE_TIMEOUT_S)

    def _pass_requests(self) -> None:
        with contextlib.suppress(OSError):
            stream = _Stream(self._client)
            if self._pass_startup(stream):
                for message in stream.read_messages():
                    if self._is_cut.is_set():
                        continue
                    if self._is_commit(message) and self._proxy.take_cut("before_commit"):
                        self.cut()
                    else:
                        self._server.sendall(message)
        _shut_down(self._server, socket.SHUT_WR)

    def _pass_startup(self, stream: "_Stream") -> bool:
        """The messages without a type; false where none with a type will follow."""
        while (message := stream.read_untyped()) is not None:
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
                if is_commit and self._proxy.take_cut("committed_unanswered"):
                    self.cut()
                if self._is_cut.is_set():
                    break
                self._client.sendall(message)
                if is_commit and self._proxy.take_cut("after_commit"):
                    self.cut()
                    break
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
