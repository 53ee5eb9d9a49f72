"""The real server, as a user starts it, and everything that it takes to end it at a bad moment.

    with Server(data_dir) as server:
        server.start()
        merchant = Merchant(server.credentials)
        ...
        server.kill(server.find_engine())

The processes are known by what the operating system says: the one that was started is the engine
process; below it are its workers and, with `database="postgres"`, the bundled PostgreSQL.
"""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import msgspec
import psutil

from tests.e2e.books import Ask, open_postgres_books, open_sqlite_books
from tests.e2e.http_client import call

READY_TIMEOUT_S = 60.0
IN_FORCE_S = 5.0
"""In which a changed configuration is in force everywhere: a second, where nothing else runs."""
STOP_TIMEOUT_S = 3.0
"""The product's own bound for a clean stop."""
END_TIMEOUT_S = 20.0
AUDIT_TIMEOUT_S = 60.0
_POLL_S = 0.02
_PORT_TRIES = 5


DatabaseName = Literal["sandbox", "openapi", "platform"]


class Place(msgspec.Struct, frozen=True):
    """How to call one environment, as `credentials.json` says."""

    public_key: str
    api_key: str
    service_provider_code: str
    markets: tuple[str, ...]


class Credentials(msgspec.Struct, frozen=True):
    base_url: str
    admin_url: str
    admin_token: str
    sandbox: Place
    openapi: Place


class ServerEnded(Exception):
    """The process ended instead of becoming ready; the text is what it said."""


def wait_until(condition: Callable[[], bool], *, timeout_s: float, what: str) -> None:
    """Ask again and again; raises `TimeoutError` saying `what` did not come."""
    until = time.monotonic() + timeout_s
    pause = threading.Event()
    while not condition():
        if time.monotonic() > until:
            raise TimeoutError(f"{what} did not come within {timeout_s} s")
        pause.wait(_POLL_S)


def find_command() -> str:
    """The command beside this interpreter."""
    return str(Path(sys.executable).parent / "pesalango-server")


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def keep_port_silent() -> Iterator[int]:
    """A port at which nobody answers, nor can while this lasts."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


def find_ports(processes: Iterable[psutil.Process]) -> set[int]:
    """Where the processes themselves listen; what answers at a port may be another's."""
    ports = set()
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN:
                    ports.add(connection.laddr.port)
    return ports


def is_gone(process: psutil.Process) -> bool:
    """Ended; where nobody asks for its exit status it may stay in the list of processes."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_gone(processes: Iterable[psutil.Process], *, timeout_s: float) -> None:
    """Raises `TimeoutError` if one of them goes on."""
    wait_until(
        lambda: all(is_gone(process) for process in processes),
        timeout_s=timeout_s,
        what=f"the end of {list(processes)}",
    )


def run_command(
    *arguments: str,
    timeout_s: float = 60.0,
    environment: Mapping[str, str] | None = None,
    prefix: Sequence[str] = (),
) -> subprocess.CompletedProcess[str]:
    """`pesalango-server …` to its end; `prefix` is what it is run by."""
    return subprocess.run(
        [*prefix, find_command(), *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
        env=make_environment(environment or {}),
    )


def make_environment(changes: Mapping[str, str]) -> dict[str, str]:
    """This process's environment without settings of the product, but for `changes`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PESALANGO_")}
    return {**kept, **changes}


class Server:
    """`pesalango-server up` (or `serve`) on one data directory, any number of times in turn."""

    def __init__(
        self,
        data_dir: Path,
        *,
        command: Literal["up", "serve"] = "up",
        database: str | None = None,
        settings: Mapping[str, str] | None = None,
        listen: Sequence[str] = (),
        admin_listen: str = "127.0.0.1:0",
        tls_context: ssl.SSLContext | None = None,
        program: Sequence[str] = (),
        prefix: Sequence[str] = (),
    ) -> None:
        """`serve` needs a database that is prepared, and has no credentials.

        `listen` takes the place of 127.0.0.1 and a free port, which stands in it as `{port}`;
        with `tls_context` TLS is spoken there.

        `database` is `postgres`, a URL (told through the environment, for it may hold a password)
        or None for SQLite; `settings` are environment variables of the product. `program` is run
        instead of `pesalango-server` (an entry point of the tests), `prefix` is what runs it: one
        that becomes what it runs, for its process is the server's.
        """
        self.data_dir = data_dir
        self.log_path = data_dir.with_name(f"{data_dir.name}.log")
        self.port = 0
        self._command = command
        self._database = database
        self._settings = dict(settings or {})
        self._listen = listen
        self._admin_listen = admin_listen
        self._tls_context = tls_context
        self._program = list(program) or [find_command()]
        self._prefix = list(prefix)
        self._process: subprocess.Popen[bytes] | None = None
        self._seen: dict[int, psutil.Process] = {}
        self._has_its_port = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()
        if error is not None:
            self._tell_log_end()

    @contextlib.contextmanager
    def explaining_failures(self) -> Iterator[None]:
        """For a server that outlives the test: what it said last is printed beside a failure."""
        try:
            yield
        except BaseException:
            self._tell_log_end()
            raise

    def _tell_log_end(self) -> None:
        sys.stderr.write(f"the last lines of the server:\n{self.read_log_end()}\n")

    def start(self, *, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Start it on a free port, and wait until payments can be taken. Raises `ServerEnded`."""
        for _ in range(_PORT_TRIES):
            self.launch(find_free_port())
            try:
                self.wait_until_ready(timeout_s=timeout_s)
            except ServerEnded as ended:
                # Another program may have been quicker to take the port.
                if "cannot listen" not in str(ended):
                    raise
                continue
            return
        raise ServerEnded(self.read_log_end())

    def launch(self, port: int) -> None:
        """Start it, and wait for nothing; at port 0 it listens where nobody looks for it."""
        self.port = port
        self._has_its_port = False
        command = [*self._prefix, *self._program, self._command, "--data-dir", str(self.data_dir)]
        if self._command == "up":
            command += ["--port", str(port)]
        else:
            command += ["--admin-listen", self._admin_listen]
        if self._listen or self._command == "serve":
            for address in self._listen or ("127.0.0.1:{port}",):
                command += ["--listen", address.format(port=port)]
        changes = dict(self._settings)
        if self._database == "postgres":
            command += ["--database", "postgres"]
        elif self._database is not None:
            changes["PESALANGO_DATABASE"] = self._database
        with self.log_path.open("ab") as log:
            # A session of its own: Ctrl-C at the terminal reaches it through these tests alone.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=make_environment(changes),
                start_new_session=True,
            )

    def wait_until_ready(self, *, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Raises `ServerEnded`, or `TimeoutError`."""

        def is_ready() -> bool:
            if self.exit_status is not None:
                raise ServerEnded(self.read_log_end())
            self.find_family()
            return self.is_ready()

        wait_until(is_ready, timeout_s=timeout_s, what="/health/ready")

    def is_ready(self) -> bool:
        """What `/health/ready` of this very server says; no answer is a no."""
        if not self._is_told_ready():
            return False
        if not self._has_its_port:
            # Free ports are found by many at once: as long as this server has not come so far,
            # the answer may be that of another one, which was quicker to take the port.
            self._has_its_port = self.port in self.find_ports()
            return self._has_its_port and self._is_told_ready()
        return True

    def _is_told_ready(self) -> bool:
        try:
            status, _ = call(
                "GET",
                f"{'https' if self._tls_context else 'http'}://127.0.0.1:{self.port}/health/ready",
                timeout_s=2.0,
                tls_context=self._tls_context,
            )
        except OSError:
            return False
        return status == 200

    @property
    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._started.poll()

    @property
    def credentials(self) -> Credentials:
        content = (self.data_dir / "credentials.json").read_bytes()
        return msgspec.json.decode(content, type=Credentials)

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the server was not started"
        return self._process

    def find_engine(self) -> psutil.Process:
        return psutil.Process(self._started.pid)

    def find_family(self) -> list[psutil.Process]:
        """The engine process and all below it that live."""
        try:
            engine = self.find_engine()
            family = [engine, *engine.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []
        self._seen.update((process.pid, process) for process in family)
        return [process for process in family if not is_gone(process)]

    def find_ports(self) -> set[int]:
        """Where it listens, by what the operating system says; empty for one that has ended."""
        return find_ports(self.find_family()[:1])

    def find_workers(self) -> list[psutil.Process]:
        """Those that serve HTTP, each with the Python of the engine process."""
        workers = []
        for process in self.find_family()[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.ppid() == self._started.pid and process.name() != "postgres":
                    workers.append(process)
        return workers

    def find_postgres(self) -> list[psutil.Process]:
        """The postmaster and all of its processes."""
        found = []
        for process in self.find_family()[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                if process.name() == "postgres":
                    found.append(process)
        return found

    def kill(self, *processes: psutil.Process) -> None:
        """Kill -9 of all of them at once, and wait until they are gone."""
        for process in processes:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGKILL)
        if self._started.pid in {process.pid for process in processes}:
            self._started.wait(END_TIMEOUT_S)
        wait_until_gone(processes, timeout_s=END_TIMEOUT_S)

    def wait_until_all_gone(self, *, timeout_s: float = END_TIMEOUT_S) -> None:
        """Of all processes that it ever had."""
        wait_until_gone(list(self._seen.values()), timeout_s=timeout_s)
        # A process whose threads are still ending is gone, but its status comes a moment later.
        self._started.wait(timeout_s)

    def stop(self, *, timeout_s: float = END_TIMEOUT_S) -> float:
        """Ctrl-C; the seconds until the process that was started had ended."""
        self.find_family()
        started = time.monotonic()
        self._started.send_signal(signal.SIGINT)
        self._started.wait(timeout_s)
        return time.monotonic() - started

    def end(self) -> None:
        """Let nothing of it go on, whatever its state is."""
        if self._process is None:
            return
        if self._process.poll() is None:
            self.find_family()
            self._process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(END_TIMEOUT_S)
        left = [process for process in self._seen.values() if not is_gone(process)]
        with contextlib.suppress(TimeoutError):
            # Those that follow the one that was started need a moment.
            wait_until_gone(left, timeout_s=STOP_TIMEOUT_S)
        self.kill(*[process for process in left if not is_gone(process)])

    def audit(self) -> subprocess.CompletedProcess[str]:
        """`pesalango-server audit`, of the running server or of the stopped one's data."""
        arguments = ["audit", "--data-dir", str(self.data_dir)]
        changes = dict(self._settings)
        if self._database == "postgres":
            arguments += ["--database", "postgres"]
        elif self._database is not None:
            changes["PESALANGO_DATABASE"] = self._database
        return run_command(
            *arguments, timeout_s=AUDIT_TIMEOUT_S, environment=changes, prefix=self._prefix
        )

    def open_books(self, name: DatabaseName = "sandbox") -> contextlib.AbstractContextManager[Ask]:
        """One of its databases at one moment, past the server; PostgreSQL's must run."""
        schema = f"pesalango_{name}"
        if self._database is None:
            return open_sqlite_books(self.data_dir / f"{name}.db")
        if self._database != "postgres":
            return open_postgres_books(self._database, schema=schema)
        from pesalango_server.storage.bundled import find_running_url

        url = find_running_url(self.data_dir / "postgres")
        assert url is not None, "the bundled PostgreSQL does not run"
        return open_postgres_books(url, schema=schema)

    def read_log(self) -> str:
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def read_log_end(self) -> str:
        lines = self.read_log().splitlines() if self.log_path.exists() else []
        return "\n".join(lines[-40:])
