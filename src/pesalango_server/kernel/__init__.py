"""What every other package stands on: money, ids, clock, numbers, invariants. No I/O."""
