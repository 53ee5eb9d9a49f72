"""Tells whoever waits how far the benchmarks are; results go to standard output."""

from __future__ import annotations

import sys


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
