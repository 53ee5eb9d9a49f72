"""The sandbox: what a new world holds."""
