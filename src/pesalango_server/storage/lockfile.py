"""The lock on a data directory: one server, or one writing command line, at a time."""

import fcntl
import os
from pathlib import Path
from typing import IO

from pesalango_server.storage.database import StorageError


class DirectoryLocked(StorageError):
    """Another process works in the data directory."""


class DirectoryLock:
    """Held for as long as the object lives; the operating system lets go with the process."""

    def __init__(self, data_dir: Path) -> None:
        """Take the lock. Raises `DirectoryLocked`, saying who holds it."""
        path = data_dir / "lock"
        self._file: IO[str] = path.open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.seek(0)
            holder = self._file.read().strip() or "unknown"
            self._file.close()
            raise DirectoryLocked(
                f"the data directory {data_dir} is in use by process {holder}; stop that server, "
                "use its admin API, or choose another --data-dir"
            ) from error
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Let go."""
        self._file.close()
