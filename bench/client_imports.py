"""How long a fresh interpreter takes to import the client, and how much of that its packages take.

They take turns; what an interpreter of the same round needs to start at all is taken off. Wall time is what a user waits for; processor time is told beside it, for it depends
less on what else the machine does.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import msgspec

from bench.directory import REPOSITORY

NOTHING = "pass"
PACKAGES = "import cryptography.hazmat.primitives.serialization, httpx2, msgspec"
CLIENT = "import pesalango"
SDK_SOURCE = REPOSITORY / "sdk" / "src"
MS_PER_S = 1_000


class ImportTime(msgspec.Struct, frozen=True, kw_only=True):
    wall_ms: float
    cpu_ms: float


def run_once(code: str) -> ImportTime:
    """One interpreter, from its start to its end."""
    environment = {**os.environ, "PYTHONPATH": str(SDK_SOURCE)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
    ended = time.perf_counter()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return ImportTime(wall_ms=(ended - begun) * MS_PER_S, cpu_ms=cpu_s * MS_PER_S)


def measure_imports(starts: int) -> list[dict[str, ImportTime]]:
    """By round, and by what is imported: `PACKAGES` and `CLIENT`."""
    codes = (NOTHING, PACKAGES, CLIENT)
    for code in codes:
        # So that every module has been compiled, and read from the disk.
        run_once(code)
    return [
        take_off({code: run_once(code) for code in turn(codes, number)}) for number in range(starts)
    ]


def turn(codes: Sequence[str], number: int) -> Sequence[str]:
    """The same, beginning with another one each time."""
    first = number % len(codes)
    return [*codes[first:], *codes[:first]]


def take_off(times: Mapping[str, ImportTime]) -> dict[str, ImportTime]:
    nothing = times[NOTHING]
    return {
        code: ImportTime(
            wall_ms=times[code].wall_ms - nothing.wall_ms,
            cpu_ms=times[code].cpu_ms - nothing.cpu_ms,
        )
        for code in (PACKAGES, CLIENT)
    }
