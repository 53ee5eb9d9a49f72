"""File descriptors: how many there may be, and how many connections they are enough for.

A process without a descriptor left can accept nobody and open nothing. So the soft limit is raised
as far as the settings need and the system lets us, and a worker takes on no more connections than
leave it what it needs for itself: one too many is refused with an answer, not by the system.
"""

import errno
import os
import resource

from pesalango_server.settings import Settings

_OWN_DESCRIPTORS = 64
"""Event loop, links, listening sockets, metrics and log of a process, and some in reserve."""

_DESCRIPTORS_PER_READER = 3
"""A SQLite database, its log, and the index of that; a connection to PostgreSQL is one."""

_DATABASES = 3

_NONE_LEFT = frozenset({errno.EMFILE, errno.ENFILE})


def count_own_descriptors(settings: Settings) -> int:
    """What a worker keeps for itself."""
    return _OWN_DESCRIPTORS + _DATABASES * _DESCRIPTORS_PER_READER * settings.readers_max


def raise_limit(settings: Settings, *, bounds: int) -> None:
    """Have the system allow what the settings ask for, as far as it does; for children too.

    `bounds` is how many times `connections_max` counts in one worker.
    """
    wanted = bounds * settings.connections_max + count_own_descriptors(settings)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= allowed:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError):
        # Some systems say that there is no limit and have one all the same.
        return


def bound_connections(settings: Settings, *, bounds: int) -> int:
    """How many connections a worker may have under each bound: the setting, or what the limit allows."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return settings.connections_max
    # However low the limit is, a few callers shall get in.
    left = max(limit - count_own_descriptors(settings), limit // 4)
    return max(1, min(settings.connections_max, left // bounds))


def count_free(*, up_to: int) -> int:
    """How many descriptors this process could open at the moment, tried one by one."""
    taken: list[int] = []
    try:
        while len(taken) < up_to:
            taken.append(os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        if error.errno not in _NONE_LEFT:
            raise
    finally:
        for descriptor in taken:
            os.close(descriptor)
    return len(taken)
