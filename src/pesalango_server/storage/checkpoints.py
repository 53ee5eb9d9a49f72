"""Copies SQLite's log back into its database, beside the thread that writes.

A checkpoint of 8 000 pages takes 15 to 50 ms, most of it spent waiting for the disk. In the writing
thread it was the slowest hundredth of all payments: each of them waited for it.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Final

import apsw

_sync: Final = getattr(os, "fdatasync", os.fsync)

# Never closed: whoever closes a descriptor of a file drops all locks that the process has on that
# file, those of SQLite's connections too.
_descriptors: Final[dict[str, int]] = {}


class Progress(Enum):
    """Where a checkpointer is; `RAN` until the writer has taken notice of it."""

    IDLE = "idle"
    RUNNING = "running"
    RAN = "ran"


class Checkpointer:
    """One for each writer, used by its thread; has a thread and a connection of its own meanwhile.

    It leaves only what the writer adds while it runs. Whatever keeps it from its work (a full disk,
    a reader of long ago) leaves the log as it is, and the next one tries again.
    """

    def __init__(self, path: Path | str, open_connection: Callable[[], apsw.Connection]) -> None:
        self._path = str(path)
        self._open_connection = open_connection
        self._asked = threading.Event()
        self._ends = False
        self._thread: threading.Thread | None = None
        self.progress = Progress.IDLE

    def start(self) -> None:
        """Begin a checkpoint; none may be running."""
        self.progress = Progress.RUNNING
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="checkpointer", daemon=True)
            self._thread.start()
        self._asked.set()

    def stop(self) -> None:
        """End the thread, once a checkpoint that runs has come to its end."""
        self._ends = True
        self._asked.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._ends:
                return
            # Whatever is wrong with the disk, the writer meets it too, and tells.
            with contextlib.suppress(Exception):
                self._copy()
            self.progress = Progress.RAN

    def _copy(self) -> None:
        connection = self._open_connection()
        try:
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            # SQLite syncs the database only where nothing was added to the log meanwhile, and
            # leaves that to the next checkpoint otherwise, which is the writer's.
            _sync(_find_descriptor(self._path))
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        finally:
            connection.close(force=True)


def _find_descriptor(path: str) -> int:
    descriptor = _descriptors.get(path)
    if descriptor is None:
        descriptor = _descriptors[path] = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    return descriptor
