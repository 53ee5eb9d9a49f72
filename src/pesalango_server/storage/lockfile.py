"""The lock on a data directory: one server, or one writing command line, at a time."""

import contextlib
import fcntl
import os
from pathlib import Path

from pesalango_server.storage.database import StorageError, StorageUnavailable


class DirectoryLocked(StorageError):
    """Another process works in the data directory."""


class DirectoryLock:
    """Held for as long as the object lives; the operating system lets go with the process."""

    def __init__(self, data_dir: Path) -> None:
        """Take the lock. Raises `DirectoryLocked`, saying who holds it, and `StorageUnavailable`."""
        path = data_dir / "lock"
        try:
            # Unbuffered: closing it must not try to write again what could not be written.
            self._file = path.open("ab+", buffering=0)
        except OSError as error:
            raise StorageUnavailable(
                f"the lock file {path} cannot be opened: {error.strerror}; make room, or choose "
                "another --data-dir"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read().decode("ascii", "replace").strip() or "unknown"
            self._file.close()
            raise DirectoryLocked(
                f"the data directory {data_dir} is in use by process {holder}; stop that server, "
                "use its admin API, or choose another --data-dir"
            ) from error
        # The lock is what counts; on a full disk nobody is told who holds it.
        with contextlib.suppress(OSError):
            self._file.truncate(0)
            self._file.write(f"{os.getpid()}\n".encode("ascii"))

    def release(self) -> None:
        """Let go."""
        self._file.close()
