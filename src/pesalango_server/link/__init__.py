"""Commands and outcomes between a worker and the engine process: frames over a socket pair."""
