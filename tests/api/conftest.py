"""Fixtures of the tests over HTTP."""

from tests.api.gateway_world import each_world, postgres_world, sqlite_world, world

__all__ = ["each_world", "postgres_world", "sqlite_world", "world"]
