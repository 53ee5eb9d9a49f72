"""What holds for every test: nothing but this machine is spoken to, no process stays behind."""

import ipaddress
from collections.abc import Iterable

import psutil


class ReachedOutside(Exception):
    """A test tried to speak to another machine."""


def refuse_other_machines(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: Python's own sockets reach loopback addresses and socket files alone."""
    if event not in {"socket.connect", "socket.sendto"}:
        return
    _, address = arguments
    if not isinstance(address, tuple):
        return
    host = str(address[0]).partition("%")[0]
    try:
        is_here = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_here = host == "localhost"
    if not is_here:
        raise ReachedOutside(f"{event} to {host}: tests stay on this machine")


def list_children() -> list[psutil.Process]:
    """Processes below this one that a test started; the resource tracker ends by itself."""
    children: list[psutil.Process] = []
    for child in psutil.Process().children(recursive=True):
        try:
            command = child.cmdline()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
        if not any("resource_tracker" in word for word in command):
            children.append(child)
    return children


def end_leftovers(children: Iterable[psutil.Process], *, timeout_s: float) -> list[str]:
    """Wait for the processes to end, kill those that do not, and say which they were."""
    _, alive = psutil.wait_procs(list(children), timeout=timeout_s)
    described = [repr(child) for child in alive]
    for child in alive:
        child.kill()
    return described
