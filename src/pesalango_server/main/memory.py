"""How often Python looks for cycles: seldom, because what a payment makes has none."""

import gc

# The default looks after every 700 objects; a batch of 64 payments makes thousands and drops them
# all by itself.
_YOUNG_OBJECTS = 50_000
_GENERATION_ROUNDS = 20


def settle_garbage_collector() -> None:
    """Leave what start-up made out of every later look, and look seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, _GENERATION_ROUNDS, _GENERATION_ROUNDS)
