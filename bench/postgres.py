"""Asks a running PostgreSQL things through the bundled programs."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from pesalango_server.storage.bundled import find_bundled_program


class PostgresError(Exception):
    """A program of PostgreSQL failed; the text is what it said."""


def run_program(name: str, arguments: Sequence[str], *, seconds_max: float) -> str:
    """What the program prints. Raises PostgresError."""
    try:
        ended = subprocess.run(
            [str(find_bundled_program(name)), *arguments],
            capture_output=True,
            text=True,
            timeout=seconds_max,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise PostgresError(f"{name} did not end within {seconds_max} s") from late
    if ended.returncode != 0:
        raise PostgresError(f"{name} failed: {ended.stderr.strip()}")
    return ended.stdout


def ask(url: str, *statements: str, seconds_max: float = 300.0) -> list[str]:
    """Run statements one by one, each in a transaction of its own; the lines that come back.

    The URL names a file with the password, never the password.
    """
    arguments = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
    for statement in statements:
        arguments += ["--command", statement]
    return run_program("psql", [*arguments, url], seconds_max=seconds_max).splitlines()
