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

It can fall silent too, as a network does whose other end is gone: nothing is closed, and nothing is
passed on.

After a cut the client reads what had been passed on, and then the end of the connection; the server
sees a client that went away. TLS and GSS encryption are declined: nothing could be read in them.
"""

import json
import socket
import subprocess
import sys
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict

from tests.store import postgres_proxy_process
from tests.store.postgres_proxy_process import CutPoint

_CALL_TIMEOUT_S = 10.0
_END_TIMEOUT_S = 10.0


class PostgresProxy:
    """Listens on a loopback port that the system gave; `close` ends it and its connections.

    `target_conninfo` names one server, by host and port or by the directory of its Unix socket.
    """

    def __init__(self, target_conninfo: str) -> None:
        parameters = {
            name: str(value)
            for name, value in conninfo_to_dict(target_conninfo).items()
            if value is not None
        }
        port = parameters.pop("port", "5432")
        host = parameters.pop("host", "localhost")
        address = parameters.pop("hostaddr", host)
        target = [f"{host}/.s.PGSQL.{port}"] if host.startswith("/") else [address, port]
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", postgres_proxy_process.__file__, *target],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        proxy_port, self._control_port = map(int, self._process.stdout.readline().split())
        parameters |= {"sslmode": "disable", "gssencmode": "disable"}
        database = quote(parameters.pop("dbname", ""), safe="")
        query = urlencode(parameters, quote_via=quote)
        self.url = f"postgresql://127.0.0.1:{proxy_port}/{database}?{query}"
        """What the target's conninfo says, with the proxy's address."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def cut_at(
        self, point: CutPoint, *, count: int = 1, skip: int = 0, is_silent: bool = False
    ) -> None:
        """Let `skip` commits pass, and cut the connection of each of the next `count` at `point`.

        Replaces what was asked for before; commits of all connections count together. `is_silent`
        leaves the connections open, but nothing passes any more.
        """
        self._call("cut_at", point=point, count=count, skip=skip, is_silent=is_silent)

    def cut_now(self) -> None:
        """Cut every connection that there is, wherever it stands."""
        self._call("cut_now")

    def refuse_connections(self, is_refusing: bool) -> None:
        """End every new connection as soon as it is made; the present ones go on."""
        self._call("refuse_connections", is_refusing=is_refusing)

    def fall_silent(self, is_silent: bool) -> None:
        """Let nothing pass, in either direction, on present connections and on those to come.

        All are accepted and stay open. False lets new ones pass; those that fell silent stay so.
        """
        self._call("fall_silent", is_silent=is_silent)

    @property
    def cuts(self) -> int:
        """How many connections were cut so far."""
        return int(self._call("count_cuts"))

    def wait_for_cuts(self, cuts: int, *, timeout_s: float = 30.0) -> bool:
        """Wait until so many connections were cut in all; false when that took too long."""
        return bool(self._call("wait_for_cuts", cuts=cuts, timeout_s=timeout_s))

    def close(self) -> None:
        """End everything; may be called again."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        self._process.wait(_END_TIMEOUT_S)

    def _call(self, method: str, **arguments: Any) -> Any:
        timeout_s = _CALL_TIMEOUT_S + float(arguments.get("timeout_s", 0))
        address = ("127.0.0.1", self._control_port)
        with socket.create_connection(address, timeout=timeout_s) as connection:
            request = {"method": method, "arguments": arguments}
            connection.sendall(json.dumps(request).encode() + b"\n")
            with connection.makefile() as answers:
                return json.loads(answers.readline())
