"""Waits for what other processes do, where the system offers nothing to wait on."""

import threading
import time
from collections.abc import Callable

_INTERVAL_S = 0.005


def wait_until(condition: Callable[[], bool], *, timeout_ms: int) -> bool:
    """Look every 5 ms until `condition` holds; False where it does not within `timeout_ms`."""
    deadline = time.monotonic() + timeout_ms / 1000
    interval = threading.Event()
    while not condition():
        if time.monotonic() >= deadline:
            return False
        interval.wait(_INTERVAL_S)
    return True
