"""A file system of the test's own, so small that it is soon full, and a server whose data is there.

    with SmallDisk(bytes_max=64 * 1024 * 1024) as disk, ServerOnDisk(disk) as server:
        server.start()
        disk.fill()
        ...
        disk.make_room()

It is mounted in a namespace of its own, which needs no rights where the system lets ordinary users
make one: `find_obstacle` says whether it does. A process holds the namespace; the server is run in
it, and the test looks in through that process's root directory.
"""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from tests.e2e.books import Ask, open_postgres_books, open_sqlite_books
from tests.e2e.server import Credentials, DatabaseName, Server

_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")
_MOUNT = 'mount -t tmpfs -o mode=700,size="$1" tmpfs "$2"'
_END_TIMEOUT_S = 10.0
_BALLAST = "ballast"
_STEP_BYTES = 1024 * 1024


@lru_cache
def find_obstacle() -> str:
    """Why there can be no small disk here; empty where there can be one."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return "a file system of the test's own needs unshare and nsenter (util-linux)"
    with tempfile.TemporaryDirectory() as place:
        tried = subprocess.run(
            [*_NAMESPACE, "sh", "-c", _MOUNT, "sh", "1m", place],
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )
    if tried.returncode:
        return f"this system lets nobody mount a file system of their own: {tried.stderr.strip()}"
    return ""


class SmallDisk:
    """`place` is where the commands that are run in it find it; `root` is where the test does."""

    def __init__(self, *, bytes_max: int) -> None:
        # A short name: the path of a socket below it must not be long.
        self.place = Path(tempfile.mkdtemp(prefix="pesalango-", dir="/tmp"))
        self._holder = subprocess.Popen(
            [
                *(*_NAMESPACE, "sh", "-c", f"{_MOUNT} && echo mounted && exec cat"),
                *("sh", str(bytes_max), str(self.place)),
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._holder.stdout is not None
        assert self._holder.stdout.readline() == "mounted\n"
        self.root = Path("/proc", str(self._holder.pid), "root", *self.place.parts[1:])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._holder.communicate(timeout=_END_TIMEOUT_S)
        self.place.rmdir()

    @property
    def prefix(self) -> tuple[str, ...]:
        """In front of a command, has it run where the disk is."""
        target = str(self._holder.pid)
        return (
            *("nsenter", "--user", "--mount", "--preserve-credentials", "--target", target),
            *("--wd=/", "--"),
        )

    @property
    def free_bytes(self) -> int:
        """What is left."""
        found = os.statvfs(self.root)
        return found.f_bavail * found.f_frsize

    def fill(self, *, leaving_bytes: int = 0, also: Iterable[Path] = ()) -> None:
        """Leave so much room, and no more; in the last blocks of the files of `also` none at all."""
        with (
            (self.root / _BALLAST).open("ab", buffering=0) as ballast,
            contextlib.suppress(OSError),
        ):
            while (free := self.free_bytes - leaving_bytes) > 0:
                ballast.write(bytes(min(free, _STEP_BYTES)))
        for path in also:
            with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"\n")

    def make_room(self) -> None:
        """Take away what `fill` put there."""
        (self.root / _BALLAST).unlink()


class ServerOnDisk(Server):
    """`pesalango-server up` with its data on a small disk."""

    def __init__(
        self,
        disk: SmallDisk,
        *,
        log_path: Path,
        database: str | None = None,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            disk.place / "data", database=database, settings=settings, prefix=disk.prefix
        )
        self.log_path = log_path
        self._disk = disk

    @property
    def credentials(self) -> Credentials:
        content = (self._disk.root / "data" / "credentials.json").read_bytes()
        return msgspec.json.decode(content, type=Credentials)

    def find_url(self) -> str:
        """The URL of its PostgreSQL as the test reaches it, past the namespace."""
        home = self._disk.root / "data" / "postgres"
        lines = (home / "cluster" / "postmaster.pid").read_text("utf-8").splitlines()
        sockets = self._disk.root / Path(lines[4]).relative_to(self._disk.place)
        place = f"host={sockets}&port=5432&passfile={home / 'pgpass'}"
        return f"postgresql://pesalango@/postgres?{place}"

    @contextlib.contextmanager
    def open_books(self, name: DatabaseName = "sandbox") -> Iterator[Ask]:
        """As `Server.open_books`, of a server that nobody calls at the moment."""
        data = self._disk.root / "data"
        if self._database == "postgres":
            with open_postgres_books(self.find_url(), schema=f"pesalango_{name}") as ask:
                yield ask
            return
        # SQLite would look for the real place of the file, which is in another namespace.
        with tempfile.TemporaryDirectory() as copies:
            for file in (f"{name}.db", f"{name}.db-wal"):
                shutil.copyfile(data / file, Path(copies, file))
            with open_sqlite_books(Path(copies, f"{name}.db")) as ask:
                yield ask
