"""Where the benchmarks keep their data: on a real disk, and not for longer than they run."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
DEFAULT_DIRECTORY = REPOSITORY / "var" / "bench"
"""Not the system's directory for temporary files, which may be memory."""


@contextlib.contextmanager
def make_directory(parent: Path) -> Iterator[Path]:
    """A new directory below `parent`, removed at the end; `parent` too where it is empty then."""
    parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=parent, prefix="run-") as name:
            yield Path(name)
    finally:
        with contextlib.suppress(OSError):
            parent.rmdir()
