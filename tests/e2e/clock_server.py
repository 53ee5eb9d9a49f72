"""`pesalango-server up` and `serve` by a clock that a test sets: an entry point of the tests alone.

    python clock_server.py up --data-dir DIR --port PORT
    python clock_server.py serve --data-dir DIR --listen ADDRESS --admin-listen ADDRESS

The file that `CLOCK_STEP_FILE` names holds, in milliseconds, by how much wall time is ahead of the
machine's. The clock is passed on to what runs in this process, so there is no worker beside it.
"""

import mmap
import os
import struct
import sys
from pathlib import Path

from pesalango_server.cli.options import read_settings
from pesalango_server.cli.output import say
from pesalango_server.kernel.clock import SystemClock
from pesalango_server.main.serve import Serve
from pesalango_server.main.up import Up
from pesalango_server.telemetry import configure_logging, hold_metrics_dir

STEP_FILE_VARIABLE = "CLOCK_STEP_FILE"
_NUMBER = struct.Struct("<q")


class StepClock:
    """See `kernel.clock.Clock`: the machine's, and what a file adds to its wall time."""

    def __init__(self, path: Path) -> None:
        self._system = SystemClock()
        with path.open("r+b") as file:
            self._step = mmap.mmap(file.fileno(), _NUMBER.size)

    def wall_ms(self) -> int:
        return self._system.wall_ms() + int(_NUMBER.unpack_from(self._step)[0])

    def monotonic_ms(self) -> int:
        return self._system.monotonic_ms()


def read_step(path: Path) -> int:
    """By how much wall time is ahead, in milliseconds."""
    return int(_NUMBER.unpack(path.read_bytes())[0])


def write_step(path: Path, step_ms: int) -> None:
    """Set the clock of whoever goes by the file; eight bytes at once, so that none sees half."""
    if not path.exists():
        path.write_bytes(_NUMBER.pack(step_ms))
        return
    descriptor = os.open(path, os.O_WRONLY)
    try:
        os.pwrite(descriptor, _NUMBER.pack(step_ms), 0)
    finally:
        os.close(descriptor)


def main() -> int:
    command, *arguments = sys.argv[1:]
    flags = {
        name.removeprefix("--").replace("-", "_"): value
        for name, value in zip(arguments[::2], arguments[1::2], strict=True)
    }
    settings = read_settings(**flags, workers=0)
    clock = StepClock(Path(os.environ[STEP_FILE_VARIABLE]))
    with hold_metrics_dir():
        configure_logging(settings.log_level, process="engine")
        served = (Up if command == "up" else Serve)(settings, say, clock=clock)
        return served.run()


if __name__ == "__main__":
    sys.exit(main())
