"""The journal in a file: SQLite, for any number of threads, tasks and processes of one machine.

One transaction at a time writes, whoever's it is: processes take turns by a lock on a file beside
the database, threads by handing what they want to whoever's turn it is, so that one sync serves all
that waited. The lock also keeps apart what SQLite before 3.51.3 could corrupt: a checkpoint in one
process beside a write in another.
"""

import fcntl
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Self

from pesalango._errors import ConfigurationError, JournalError
from pesalango._intents import Closing, Intent
from pesalango._sqlite_statements import SCHEMA, Job, carry_out, must_last

_VERSION: Final = 1
_SQLITE_MIN: Final = (3, 33)
"""The first that knows UPDATE … FROM."""
_PARENTS: Final[list[sqlite3.Connection | None]] = []
"""What parent processes opened, kept for as long as this process lives."""
_LOCK_PAUSE_S: Final = 0.001
_BUSY_TIMEOUT_S: Final = 30.0


class SqliteJournal:
    """Intents in a SQLite file; nobody else may read it (0600). A `Journal`.

    The file is made at first use, its directory too. It must lie on a disk of this machine, not on
    a network's.
    """

    def __init__(self, path: str | Path) -> None:
        self.path: Path = resolve_path(path)
        self._lock_path = self.path.with_name(self.path.name + "-lock")
        self._connection: sqlite3.Connection | None = None
        self._lock_file: int | None = None
        self._level = ""
        """Of the connection's syncs; empty where it is not known."""
        self._identity = (0, 0)
        """Of the file that is open."""
        self._pid = os.getpid()
        self._waiting: list[Job] = []
        self._queue = threading.Lock()
        self._turn = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"SqliteJournal({str(self.path)!r})"

    def begin(self, intent: Intent) -> Intent:
        """See `Journal.begin`."""
        kept: Intent = self._perform("begin", intent)
        return kept

    def find(self, platform: str, key: str) -> Intent | None:
        """See `Journal.find`."""
        found: Intent | None = self._perform("find", platform, key)
        return found

    def count_sending(self, platform: str, key: str) -> Intent | None:
        """See `Journal.count_sending`."""
        found: Intent | None = self._perform("count_sending", platform, key)
        return found

    def close_intent(
        self, platform: str, key: str, closing: Closing, *, sendings: int | None
    ) -> bool:
        """See `Journal.close_intent`."""
        is_closed: bool = self._perform("close_intent", platform, key, closing, sendings=sendings)
        return is_closed

    def forget(self, platform: str, key: str, *, sendings: int) -> bool:
        """See `Journal.forget`."""
        is_gone: bool = self._perform("forget", platform, key, sendings=sendings)
        return is_gone

    def list_open(self, platform: str) -> Sequence[Intent]:
        """See `Journal.list_open`."""
        found: Sequence[Intent] = self._perform("list_open", platform)
        return found

    def close(self) -> None:
        """Let go of the file. Another call opens it again."""
        self._check_process()
        with self._turn:
            self._let_go()

    def _let_go(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._lock_file is not None:
            os.close(self._lock_file)
        self._connection = None
        self._lock_file = None

    def _check_process(self) -> None:
        """In a process that was forked, begin anew: the file and the locks are its parent's."""
        if self._pid == os.getpid():
            return
        # Never closed here, not by the collector either: SQLite would tidy up the parent's file.
        _PARENTS.append(self._connection)
        if self._lock_file is not None:
            # A copy of it would hold the lock on behalf of a parent that has died.
            os.close(self._lock_file)
        self._connection = None
        self._lock_file = None
        self._waiting = []
        self._queue = threading.Lock()
        self._turn = threading.Lock()
        # Last: whoever sees it finds all of the above done.
        self._pid = os.getpid()

    def _perform(self, method: str, *arguments: Any, **keywords: Any) -> Any:
        job = Job(method, arguments, keywords)
        self._perform_together([job])
        if job.error is not None:
            raise job.error
        if not job.is_done:
            raise JournalError(f"the journal {self.path} was interrupted")
        return job.result

    def _perform_together(self, jobs: Sequence[Job]) -> None:
        """Carry the jobs out, in one transaction with those of whoever waits as well."""
        self._check_process()
        with self._queue:
            self._waiting.extend(jobs)
        with self._turn:
            if jobs[-1].is_done:
                return
            taken: list[Job] = []
            try:
                with self._queue:
                    taken, self._waiting = self._waiting, []
                self._run_or_part(taken)
            except BaseException as failure:
                for job in taken:
                    job.error = _explain(self.path, failure)
                if not isinstance(failure, Exception):
                    raise
            finally:
                for job in taken:
                    job.is_done = True

    def _run_or_part(self, jobs: Sequence[Job]) -> None:
        """Run them in one transaction; what one of them is to blame for is that one's alone."""
        try:
            self._run(jobs)
        except (sqlite3.OperationalError, OSError, JournalError):
            raise  # of the file, whoever comes
        except Exception:
            if len(jobs) == 1:
                raise
            for number, job in enumerate(jobs):
                try:
                    self._run([job])
                except (sqlite3.OperationalError, OSError, JournalError) as failure:
                    for rest in jobs[number:]:
                        rest.error = _explain(self.path, failure)
                    return
                except Exception as failure:  # noqa: BLE001 - told to the one who asked
                    job.error = _explain(self.path, failure)

    def _run(self, jobs: Sequence[Job]) -> None:
        connection, lock_file = self._open()
        try:
            _take_lock(lock_file)
            # NORMAL leaves a commit to the next sync, for what is found out anew after a power cut.
            level = "FULL" if any(map(must_last, jobs)) else "NORMAL"
            if level != self._level:
                connection.execute(f"PRAGMA synchronous = {level}")
                self._level = level
            connection.execute("BEGIN IMMEDIATE")
            try:
                carry_out(connection, jobs)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        finally:
            fcntl.flock(lock_file, fcntl.LOCK_UN)

    def _open(self) -> tuple[sqlite3.Connection, int]:
        """The database and the lock beside it."""
        if self._connection is not None and self._lock_file is not None:
            if _identify(self.path) != self._identity:
                # Two programs would go on with two memories of what was paid.
                raise JournalError(
                    "it was removed or replaced while this program had it open; see to the file, "
                    "then start the program again"
                )
            return self._connection, self._lock_file
        self._level = ""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock_file = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _take_lock(self._lock_file)
            self._connection = _connect(self.path)
            self._identity = _identify(self.path)
        except BaseException:
            os.close(self._lock_file)
            self._lock_file = None
            raise
        fcntl.flock(self._lock_file, fcntl.LOCK_UN)
        return self._connection, self._lock_file


def _take_lock(lock_file: int) -> None:
    """Wait for whoever writes; a process that dies drops its lock. Raises `JournalError`."""
    until = time.monotonic() + _BUSY_TIMEOUT_S
    pause = threading.Event()
    while True:
        try:
            fcntl.flock(lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise JournalError(
                    f"another process has held it for {_BUSY_TIMEOUT_S:g} s; is one stopped?"
                ) from None
            # Soon again, at odd times: who writes much must not starve who writes little.
            pause.wait(_LOCK_PAUSE_S * (0.5 + secrets.randbelow(1000) / 1000))
        else:
            return


def _identify(path: Path) -> tuple[int, int]:
    """Which file it is, whatever its name; zeros for none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return 0, 0
    return found.st_dev, found.st_ino


def _connect(path: Path) -> sqlite3.Connection:
    """Open the file, or make it.

    Its bytes are SQLite's alone: to open and close it past SQLite would drop the locks that SQLite
    holds on it in this process.
    """
    is_new = _make_file(path)
    connection = sqlite3.connect(
        path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
    )
    try:
        _prepare(connection)
        if is_new:
            _sync_folder(path.parent)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_file(path: Path) -> bool:
    """An empty file that nobody else may read, unless there is one; SQLite's log takes after it."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    return True


def _sync_folder(folder: Path) -> None:
    """A file's name must outlive a power cut like its content."""
    opened = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _prepare(connection: sqlite3.Connection) -> None:
    if sqlite3.sqlite_version_info < _SQLITE_MIN:
        least = ".".join(map(str, _SQLITE_MIN))
        raise JournalError(f"it needs SQLite {least}; this Python has {sqlite3.sqlite_version}")
    connection.execute("SELECT json_extract('[1]', '$[0]')")
    # Looked at before anything is changed: it may be somebody else's.
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version == 0:
        (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables:
            raise JournalError("it is a database, but no journal of payments")
    elif version != _VERSION:
        raise JournalError(
            f"it has the form {version}; this version of pesalango knows the form {_VERSION}"
        )
    connection.execute("PRAGMA journal_mode = WAL")
    if version == 0:
        connection.execute("PRAGMA synchronous = FULL")
        connection.executescript(
            f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;"
        )


def _explain(path: Path, failure: BaseException) -> Exception:
    error = JournalError(
        f"the journal {path} cannot be used: {str(failure) or type(failure).__name__}"
    )
    error.__cause__ = failure
    return error


def resolve_path(path: str | Path) -> Path:
    """Where a journal is, wherever the program goes. Raises `ConfigurationError`."""
    if str(path) in {"", ".", ":memory:"}:
        raise ConfigurationError(
            f"journal takes the path of a file, not {str(path)!r}; None is the default's"
        )
    return Path(path).expanduser().absolute()
