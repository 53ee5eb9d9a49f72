"""Servers that are there already: what a cluster's postmaster says of itself, and its end."""

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pesalango_server.storage.bundled.identity import BundledPostgresError
from pesalango_server.storage.bundled.waiting import wait_until

if TYPE_CHECKING:
    import psutil


class Postmaster(msgspec.Struct, frozen=True):
    """What a server writes into `postmaster.pid`."""

    process_id: int
    socket_directory: Path
    is_ready: bool


def read_postmaster(cluster: Path) -> Postmaster | None:
    """What the server of a cluster says of itself, if there is one that has got that far."""
    try:
        lines = (cluster / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        return Postmaster(
            process_id=int(lines[0]),
            socket_directory=Path(lines[4]) if len(lines) > 4 else Path(),
            is_ready=len(lines) > 7 and lines[7].strip() == "ready",
        )
    except (OSError, ValueError, IndexError):
        return None


def is_running_in(cluster: Path, process_id: int) -> bool:
    """A process of that number is a PostgreSQL of this cluster."""
    import psutil  # noqa: PLC0415 - see _find_processes

    with contextlib.suppress(psutil.Error):
        return _works_in(cluster, psutil.Process(process_id))
    return False


def end_leftovers(cluster: Path, *, timeout_ms: int) -> None:
    """Wait for a server that outlived whoever started it, and end it; `timeout_ms` a signal.

    Only for the holder of the data directory's lock: then nobody needs what still runs here.
    """
    pid_file = cluster / "postmaster.pid"
    if not pid_file.exists():
        return
    leftovers = _find_processes(cluster)
    # Fast, immediate, and by force; a server that is ending already takes the first as a reminder.
    for end_signal in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        if leftovers:
            _end_processes(leftovers, end_signal, timeout_ms=timeout_ms)
            leftovers = _find_processes(cluster)
    if leftovers:
        raise BundledPostgresError(
            f"an earlier PostgreSQL in {cluster.parent} does not end (processes "
            f"{', '.join(str(leftover.pid) for leftover in leftovers)}); end it, then try again"
        )
    postmaster = read_postmaster(cluster)
    if postmaster is not None and _is_alive(postmaster.process_id):
        # After a power cut, or in a new container, the number is some other program's, and
        # PostgreSQL would take that for a server of its own and refuse to start. A number that
        # is nobody's it sees through, and then looks for forgotten backends too: leave it that.
        pid_file.unlink()


def _is_alive(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _works_in(cluster: Path, process: "psutil.Process") -> bool:
    return process.name() == "postgres" and Path(process.cwd()) == cluster


def _find_processes(cluster: Path) -> "list[psutil.Process]":
    """All processes that work in the cluster, as every process of a server does."""
    import psutil  # noqa: PLC0415 - wanted after an unclean end only, and would slow every start

    found = []
    for process in psutil.process_iter():
        # Those of others, which we may not look into, are not ours either.
        with contextlib.suppress(psutil.Error):
            if _works_in(cluster, process):
                found.append(process)
    return found


def _end_processes(
    processes: "list[psutil.Process]", end_signal: signal.Signals, *, timeout_ms: int
) -> None:
    """Signal the postmaster, or, where it is gone, all that it left; then wait for all of them.

    A backend that is signalled beside its postmaster would look like a crash to that.
    """
    import psutil  # noqa: PLC0415 - see _find_processes

    def is_over(process: psutil.Process) -> bool:
        # A dead process without a parent that asks for it stays a zombie, in a container for ever.
        try:
            return process.status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    numbers = {process.pid for process in processes}
    for process in processes:
        with contextlib.suppress(psutil.Error):
            if process.ppid() not in numbers or end_signal is signal.SIGKILL:
                process.send_signal(end_signal)
    wait_until(lambda: all(is_over(process) for process in processes), timeout_ms=timeout_ms)
