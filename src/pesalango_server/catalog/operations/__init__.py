"""One operation, one file. `catalog.registry` lists them in order."""
