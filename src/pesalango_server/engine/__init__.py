"""Resolve, load, decide, write: what turns commands into committed batches."""
