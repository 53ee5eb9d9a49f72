"""An SQLite file system whose machine can lose its power at every change to the disk.

    with PowerCutDisk(cut_after_operations=17) as disk:
        connection = apsw.Connection(path, vfs=disk.vfs_name)   # any path; nothing is written there
        ...                                                     # PowerLost at the 18th change
        with disk.cut(seed=1, mode="random_subset") as found:
            connection = apsw.Connection(path, vfs=found.vfs_name)

Every file that SQLite opens by name lives in memory, in the model of `power_cut_media`. An
*operation* is what changes the disk: a write, a truncation, a sync, a file made or deleted; reads
are served from memory and are not counted. A disk that was cut answers every further read and
operation with `PowerLost`, an `apsw.IOError`; `cut` may be called again with other seeds.

The file system does what SQLite's own one for Unix does: the first sync of a WAL or journal that
was opened to be made also syncs the directory, that of a database does not; an empty file does not
count as present. A connection needs no special pragma: locks and the shared memory of the WAL index
come from an empty real file per database, in a temporary directory of the disk, so that several
connections and threads of one process work as ever. Other processes see none of the files.

Deterministic: the same operations and the same seed find the same disk, but for the salts that
SQLite itself draws for each WAL.
"""

# The names and parameters of a VFS's methods are SQLite's.
# ruff: noqa: ARG002, N802

import itertools
import random
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self, cast

import apsw

from tests.store.power_cut_media import (
    Change,
    Create,
    CutMode,
    Delete,
    Media,
    Sync,
    Truncate,
    Write,
)

_disk_numbers = itertools.count(1)
_OPENED_FOR_JOURNAL = (
    apsw.SQLITE_OPEN_MAIN_JOURNAL | apsw.SQLITE_OPEN_SUPER_JOURNAL | apsw.SQLITE_OPEN_WAL
)


def _make_chance(seed: int, operations: int) -> random.Random:
    """Another fate for each place in a run, though a test has one seed."""
    return random.Random(f"{seed} {operations}")


class PowerLost(apsw.IOError):
    """The machine is off. What SQLite makes of it is `SQLITE_IOERR`."""

    extendedresult = apsw.SQLITE_IOERR


class _FileMissing(apsw.IOError):
    """SQLite deletes files without asking whether they are there; this answer it ignores."""

    extendedresult = apsw.SQLITE_IOERR_DELETE_NOENT


class PowerCutDisk:
    """A disk in memory, under a VFS name of its own, for any number of files and connections.

    `cut_after_operations` = n: n operations succeed, and the power goes during the next one.
    `keep_history`: remember all operations, for `replay_cuts`.
    """

    def __init__(
        self,
        *,
        cut_after_operations: int | None = None,
        keep_history: bool = False,
        media: Media | None = None,
    ) -> None:
        self._lock = threading.RLock()
        self._media = media if media is not None else Media()
        self._operations = 0
        self._operations_allowed = cut_after_operations
        self._interrupted: Change | None = None
        self._power_is_lost = False
        self._failing_with: dict[type[Change], type[apsw.Error]] = {}
        self._first_media = self._media.copy_state() if keep_history else None
        self._history: list[Change] = []
        self._real_directory = Path(tempfile.mkdtemp(prefix="power-cut-"))
        self._remove_real_directory = weakref.finalize(
            self, shutil.rmtree, self._real_directory, ignore_errors=True
        )
        self.vfs_name = f"power-cut-{next(_disk_numbers)}"
        self._vfs = _PowerCutVFS(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Take the VFS name away. Connections that are still open keep working until closed."""
        self._vfs.unregister()
        self._remove_real_directory()

    @property
    def operations(self) -> int:
        """How many operations have been completed since the disk was made."""
        with self._lock:
            return self._operations

    @property
    def history(self) -> tuple[Change, ...]:
        """All completed operations, where the disk keeps its history."""
        with self._lock:
            return tuple(self._history)

    @property
    def power_is_lost(self) -> bool:
        with self._lock:
            return self._power_is_lost

    def cut_after(self, *, operations: int) -> None:
        """Let so many more operations succeed, and cut the power during the next one."""
        with self._lock:
            self._operations_allowed = self._operations + operations

    def fail_with(self, error: type[apsw.Error] | None, *, at: type[Change]) -> None:
        """Refuse one kind of operation from now on (`None`: no longer), with the power on.

        A full disk is `fail_with(apsw.FullError, at=Write)`. The error is raised also where SQLite
        itself goes on, such as while it shortens its WAL after a commit.
        """
        with self._lock:
            if error is None:
                self._failing_with.pop(at, None)
            else:
                self._failing_with[at] = error

    def cut(
        self,
        *,
        seed: int,
        mode: CutMode,
        cut_after_operations: int | None = None,
        keep_history: bool = False,
    ) -> "PowerCutDisk":
        """Cut the power if it is still on, and return a new disk with what is found afterwards.

        The two options are the new disk's. Each call draws from the same state: one run may be cut
        with many seeds.
        """
        with self._lock:
            self._power_is_lost = True
            found = self._media.survive(
                chance=_make_chance(seed, self._operations),
                mode=mode,
                interrupted=self._interrupted,
            )
        return PowerCutDisk(
            cut_after_operations=cut_after_operations, keep_history=keep_history, media=found
        )

    def replay_cuts(self, *, seed: int, mode: CutMode) -> Iterator[tuple[int, "PowerCutDisk"]]:
        """For each operation the disk that is found when the power goes during it, or after all.

        Yields `(n, disk)`: n operations were completed, so what was acknowledged while
        `operations <= n` has to be on the disk. Each disk is closed before the next is made. Needs
        `keep_history`. A run is made once and cut everywhere; the program under test does not
        notice, so its own answer to a lost disk needs `cut_after_operations`.
        """
        if self._first_media is None:
            raise ValueError("this disk was made without keep_history")
        media = self._first_media.copy_state()
        for completed, change in enumerate((*self.history, None)):
            chance = _make_chance(seed, completed)
            found = media.survive(chance=chance, mode=mode, interrupted=change)
            with PowerCutDisk(media=found) as disk:
                yield completed, disk
            if change is not None:
                media.apply(change)

    def read_file(self, path: str | Path) -> bytes | None:
        """A file's content as a reader would see it now; `None` where there is no such file."""
        with self._lock:
            file_id = self._media.names.get(str(Path(path).absolute()))
            return None if file_id is None else bytes(self._media.files[file_id].current)

    def copy_files(self, *, source: Path, target: Path) -> None:
        """Write all files below the path `source` of this disk below the real directory `target`.

        For what can not be given a VFS name, such as another process.
        """
        with self._lock:
            for name, file_id in self._media.names.items():
                if Path(name).is_relative_to(source.absolute()):
                    copied = target / Path(name).relative_to(source.absolute())
                    copied.parent.mkdir(parents=True, exist_ok=True)
                    copied.write_bytes(self._media.files[file_id].current)

    # What follows is for the file objects below.

    def ensure_power(self) -> None:
        if self._power_is_lost:
            raise PowerLost("the power was cut")

    def perform(self, change: Change) -> None:
        """Change the disk, or lose the power while doing so."""
        with self._lock:
            self.ensure_power()
            if self._operations == self._operations_allowed:
                self._power_is_lost = True
                self._interrupted = change
                raise PowerLost("the power was cut")
            error = self._failing_with.get(type(change))
            if error is not None:
                raise error("refused by the test")
            self._media.apply(change)
            self._operations += 1
            if self._first_media is not None:
                self._history.append(change)

    def open_file(self, name: str, flags: int) -> int:
        """Find or make a file; its id."""
        with self._lock:
            self.ensure_power()
            file_id = self._media.names.get(name)
            if file_id is not None:
                if flags & apsw.SQLITE_OPEN_EXCLUSIVE:
                    raise apsw.CantOpenError(f"{name} is there already")
                return file_id
            if not flags & apsw.SQLITE_OPEN_CREATE:
                raise apsw.CantOpenError(f"there is no {name}")
            file_id = self._media.next_file_id
            self.perform(Create(name=name, file_id=file_id))
            return file_id

    def delete_file(self, name: str, *, with_directory: bool) -> None:
        with self._lock:
            self.ensure_power()
            if name not in self._media.names:
                raise _FileMissing(f"there is no {name}")
            self.perform(Delete(name=name, with_directory=with_directory))

    def is_present(self, name: str, *, even_if_empty: bool) -> bool:
        with self._lock:
            self.ensure_power()
            file_id = self._media.names.get(name)
            if file_id is None:
                return False
            return even_if_empty or len(self._media.files[file_id].current) > 0

    def read_content(self, file_id: int, *, offset: int, size_bytes: int) -> bytes:
        self.ensure_power()
        return bytes(self._media.files[file_id].current[offset : offset + size_bytes])

    def read_size(self, file_id: int) -> int:
        self.ensure_power()
        return len(self._media.files[file_id].current)

    def real_file(self, file_id: int) -> str:
        """The empty file that lends its locks and shared memory to a database."""
        return str(self._real_directory / f"{file_id}.db")


class _PowerCutVFS(apsw.VFS):
    def __init__(self, disk: PowerCutDisk) -> None:
        # The disk owns its VFS; each open file keeps the disk.
        self._disk_reference = weakref.ref(disk)
        super().__init__(disk.vfs_name, base="")

    @property
    def _disk(self) -> PowerCutDisk:
        disk = self._disk_reference()
        if disk is None:
            raise PowerLost("the disk is no more")
        return disk

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:
        if name is None:
            # Sorts and temporary tables: gone after a cut, whatever became of them.
            return apsw.VFSFile("", None, flags)
        full_name = name.filename() if isinstance(name, apsw.URIFilename) else name
        file_id = self._disk.open_file(full_name, flags[0])
        flags[1] = flags[0]
        if flags[0] & apsw.SQLITE_OPEN_MAIN_DB:
            return _DatabaseFile(self._disk, file_id)
        syncs_directory = bool(
            flags[0] & apsw.SQLITE_OPEN_CREATE and flags[0] & _OPENED_FOR_JOURNAL
        )
        # Any object with the methods will do; one derived from VFSFile would need a real file.
        return cast(apsw.VFSFile, _JournalFile(self._disk, file_id, syncs_directory))

    def xDelete(self, filename: str, syncdir: bool) -> None:
        self._disk.delete_file(filename, with_directory=syncdir)

    def xAccess(self, pathname: str, flags: int) -> bool:
        even_if_empty = flags != apsw.SQLITE_ACCESS_EXISTS
        return self._disk.is_present(pathname, even_if_empty=even_if_empty)

    def xFullPathname(self, name: str) -> str:
        return str(Path(name).absolute())

    def excepthook(
        self,
        etype: type[BaseException] | None,
        evalue: BaseException | None,
        etraceback: TracebackType | None,
    ) -> bool:
        return isinstance(evalue, apsw.Error)


class _StoredFileMethods:
    """What SQLite does with a file's content."""

    _disk: PowerCutDisk
    _file_id: int
    _syncs_directory: bool

    def xRead(self, amount: int, offset: int) -> bytes:
        return self._disk.read_content(self._file_id, offset=offset, size_bytes=amount)

    def xWrite(self, data: bytes, offset: int) -> None:
        self._disk.perform(Write(file_id=self._file_id, offset=offset, data=bytes(data)))

    def xTruncate(self, newsize: int) -> None:
        self._disk.perform(Truncate(file_id=self._file_id, size_bytes=newsize))

    def xSync(self, flags: int) -> None:
        with_directory = self._syncs_directory
        self._disk.perform(Sync(file_id=self._file_id, with_directory=with_directory))
        self._syncs_directory = False

    def xFileSize(self) -> int:
        return self._disk.read_size(self._file_id)

    def xSectorSize(self) -> int:
        return 4096

    def xDeviceCharacteristics(self) -> int:
        return apsw.SQLITE_IOCAP_POWERSAFE_OVERWRITE

    def excepthook(
        self,
        etype: type[BaseException] | None,
        evalue: BaseException | None,
        etraceback: TracebackType | None,
    ) -> bool:
        """Keep quiet about what SQLite ignores, such as a failing truncation of the WAL."""
        return isinstance(evalue, apsw.Error)


class _JournalFile(_StoredFileMethods):
    """A WAL or rollback journal: nobody locks it."""

    def __init__(self, disk: PowerCutDisk, file_id: int, syncs_directory: bool) -> None:
        self._disk = disk
        self._file_id = file_id
        self._syncs_directory = syncs_directory

    def xClose(self) -> None:
        pass

    def xLock(self, level: int) -> None:
        pass

    def xUnlock(self, level: int) -> None:
        pass

    def xCheckReservedLock(self) -> bool:
        return False

    def xFileControl(self, op: int, ptr: int) -> bool:
        return False


class _DatabaseFile(_StoredFileMethods, apsw.VFSFile):
    """A database: content in memory, locks and shared memory of an empty real file."""

    def __init__(self, disk: PowerCutDisk, file_id: int) -> None:
        self._disk = disk
        self._file_id = file_id
        self._syncs_directory = False
        flags = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
        super().__init__("", disk.real_file(file_id), [flags, 0])

    def xLock(self, level: int) -> None:
        if level == apsw.SQLITE_LOCK_EXCLUSIVE and self._disk.power_is_lost:
            # A connection in WAL mode asks for this lock when it closes, and gives up its last
            # checkpoint without a word when it is busy: closing must not look like a new failure.
            raise apsw.BusyError("the power was cut")
        super().xLock(level)
