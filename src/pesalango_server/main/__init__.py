"""Processes: the engine process that is the parent, its workers, and what happens at start-up."""
