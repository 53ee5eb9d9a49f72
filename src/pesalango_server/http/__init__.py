"""What every HTTP face shares: the worker's context, JSON answers, bounds and deadlines."""
