"""Files that are there whole or not at all."""

import os
import secrets
from pathlib import Path


def write_whole(path: Path, content: bytes, *, mode: int, replaces: bool = True) -> None:
    """Write a file at once: nobody ever sees half of it, or it with another mode.

    Raises `OSError`; `FileExistsError` where it is there already and is not to be replaced.
    """
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(4)}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if replaces:
            fresh.replace(path)
        else:
            # Unlike a rename, a link never takes the place of what is there.
            path.hardlink_to(fresh)
    finally:
        fresh.unlink(missing_ok=True)
