"""Asks how fast this machine is: `pgbench`, on the bundled PostgreSQL, fully durable.

The product's figures are told as multiples of this one, so that they mean something on another
machine. Every round begins after vacuum and checkpoint, and ends with a checkpoint, so that
nothing of it is left to be written while the product is measured.

`python -m bench.yardstick [--rounds N] [--seconds S] [--directory D]` prints the result as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.directory import DEFAULT_DIRECTORY, make_directory
from bench.figures import Spread, measure_spread
from bench.postgres import PostgresError, ask, run_program
from pesalango_server.storage.bundled import BundledPostgres

SCALE = 50
CLIENTS = 16
THREADS = 2
INITIALISE_SECONDS_MAX = 600.0
WARM_UP_SECONDS = 3
END_SECONDS_MAX = 60.0
TABLES = ("pgbench_accounts", "pgbench_branches", "pgbench_tellers", "pgbench_history")
OWN_DEFAULTS = {
    "shared_buffers": "128MB",
    "maintenance_work_mem": "64MB",
    "max_connections": "100",
    "io_method": "worker",
}
"""The launcher is thrifty for the sake of laptops; a yardstick is what PostgreSQL is by itself."""

DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
SHOWN = (
    *DURABLE,
    "server_version",
    "shared_buffers",
    "io_method",
    "max_wal_size",
    "wal_sync_method",
)
RATE = re.compile(r"^tps = ([0-9.]+)", re.MULTILINE)
FAILED = re.compile(r"^number of failed transactions: (\d+)", re.MULTILINE)


class YardstickResult(msgspec.Struct, frozen=True, kw_only=True):
    seconds: float
    transactions_per_second: list[float]
    spread: Spread
    settings: dict[str, str]


class Yardstick:
    """A server filled for TPC-B."""

    def __init__(self, url: str, *, settings: dict[str, str], clients: int) -> None:
        self.url = url
        self.settings = settings
        self.clients = clients

    def measure(self, *, seconds: int) -> float:
        """Transactions a second in one round. Raises PostgresError."""
        vacuum = f"VACUUM (ANALYZE) {', '.join(TABLES)}"
        ask(self.url, "TRUNCATE pgbench_history", vacuum, "CHECKPOINT")
        flags = {"protocol": "simple", "client": self.clients, "jobs": THREADS, "time": seconds}
        printed = run_program(
            "pgbench",
            ["--no-vacuum", *(f"--{name}={value}" for name, value in flags.items()), self.url],
            seconds_max=seconds + END_SECONDS_MAX,
        )
        ask(self.url, "CHECKPOINT")
        rate, failed = RATE.search(printed), FAILED.search(printed)
        if rate is None or (failed is not None and failed[1] != "0"):
            raise PostgresError(f"pgbench did not finish cleanly:\n{printed}")
        return float(rate[1])


@contextlib.contextmanager
def open_yardstick(
    directory: Path, *, scale: int = SCALE, clients: int = CLIENTS
) -> Iterator[Yardstick]:
    """A server of its own below `directory`, filled; stopped at the end. Its figures are the
    yardstick at the usual scale and number of clients alone.

    Raises PostgresError where it is not durable.
    """
    with BundledPostgres.start(directory / f"yardstick-{scale}", settings=OWN_DEFAULTS) as server:
        settings = read_settings(server.url)
        unsafe = [name for name in DURABLE if settings[name] != "on"]
        if unsafe:
            raise PostgresError(f"the yardstick has to be durable; off: {', '.join(unsafe)}")
        flags = ["--initialize", f"--scale={scale}", "--quiet"]
        run_program("pgbench", [*flags, server.url], seconds_max=INITIALISE_SECONDS_MAX)
        yardstick = Yardstick(server.url, settings=settings, clients=clients)
        yardstick.measure(seconds=WARM_UP_SECONDS)
        yield yardstick


def read_settings(url: str) -> dict[str, str]:
    return dict(zip(SHOWN, ask(url, *(f"SHOW {name}" for name in SHOWN)), strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.yardstick", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--directory", type=Path, default=DEFAULT_DIRECTORY)
    flags = parser.parse_args()
    with make_directory(flags.directory) as directory, open_yardstick(directory) as yardstick:
        rates = [yardstick.measure(seconds=flags.seconds) for _ in range(flags.rounds)]
        result = YardstickResult(
            seconds=flags.seconds,
            transactions_per_second=rates,
            spread=measure_spread(rates),
            settings=yardstick.settings,
        )
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")


if __name__ == "__main__":
    main()
