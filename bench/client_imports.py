"""How long a fresh interpreter takes to import the client, and how much of that its packages take.

Each is started several times, in turn; what the interpreter needs to start at all is taken off, by
the median. Wall time is what a user waits for; processor time is told beside it, for it depends
less on what else the machine does.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from statistics import median

import msgspec

from bench.directory import REPOSITORY

NOTHING = "pass"
PACKAGES = "import cryptography.hazmat.primitives.serialization, httpx2, msgspec"
CLIENT = "import pesalango"
SDK_SOURCE = REPOSITORY / "sdk" / "src"
MS_PER_S = 1_000


class ImportTime(msgspec.Struct, frozen=True, kw_only=True):
    """Beyond what an interpreter takes that imports nothing."""

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


def measure_imports(starts: int) -> dict[str, ImportTime]:
    """Medians, by what is imported: `PACKAGES` and `CLIENT`."""
    codes = (NOTHING, PACKAGES, CLIENT)
    for code in codes:
        # So that every module has been compiled, and read from the disk.
        run_once(code)
    taken: dict[str, list[ImportTime]] = {code: [] for code in codes}
    for _ in range(starts):
        for code in codes:
            taken[code].append(run_once(code))
    wall = {code: median(each.wall_ms for each in runs) for code, runs in taken.items()}
    cpu = {code: median(each.cpu_ms for each in runs) for code, runs in taken.items()}
    return {
        code: ImportTime(wall_ms=wall[code] - wall[NOTHING], cpu_ms=cpu[code] - cpu[NOTHING])
        for code in (PACKAGES, CLIENT)
    }
