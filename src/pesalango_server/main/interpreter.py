"""How Python itself is set: it looks for cycles seldom, and lets threads take turns quickly."""

import gc
import sys

# The default looks after every 700 objects; a batch of 120 payments makes thousands and drops them
# all by itself.
_YOUNG_OBJECTS = 50_000
_GENERATION_ROUNDS = 20

# The default lets a thread keep the interpreter lock for 5 ms while others want it. A thread that
# decrypts wants it for some microseconds, every 1.5 ms, and its processor would be idle meanwhile.
_TURN_S = 0.000_1


def settle_garbage_collector() -> None:
    """Leave what start-up made out of every later look, and look seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _GENERATION_ROUNDS, _GENERATION_ROUNDS)


def shorten_turns() -> None:
    """Let nobody wait long for the interpreter lock."""
    sys.setswitchinterval(_TURN_S)
