"""The files of this repository as the tidy rules see them: tracked, or new and not ignored."""

import subprocess
from functools import lru_cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


@lru_cache(maxsize=1)
def list_paths() -> tuple[str, ...]:
    """Paths relative to the root, with `/`, sorted. Git has to be there: it knows what is ours."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    ).stdout.decode()
    # A file that was removed but is still in the index is listed too.
    return tuple(sorted(path for path in set(listing.split("\0")) if (ROOT / path).is_file()))


@lru_cache(maxsize=1)
def read_texts() -> dict[str, str]:
    """Text of every file that is UTF-8 without NUL, by path."""
    texts: dict[str, str] = {}
    for path in list_paths():
        content = (ROOT / path).read_bytes()
        if b"\0" in content:
            continue
        try:
            texts[path] = content.decode()
        except UnicodeDecodeError:
            continue
    return texts
