"""Failures that a person can do something about: one sentence, and no trace of the program."""

import sys

# Modules that were never imported have raised nothing, and are not imported for this.
_EXPECTED = (
    ("pesalango_server.admin.client", "AdminCallFailed"),
    ("pesalango_server.admin.client", "AdminUnreachable"),
    ("pesalango_server.settings", "SettingsError"),
    ("pesalango_server.storage.database", "StorageError"),
    ("pesalango_server.storage.bundled", "BundledPostgresError"),
    ("pesalango_server.main.authority", "AuthorityFailed"),
    ("pesalango_server.main.failures", "ServerFailed"),
)


class CommandFailed(Exception):
    """A command could not do what it was asked; the message says what to do."""


def explain_failure(error: Exception) -> str | None:
    """The sentence for a failure that was to be expected, None for a defect of ours."""
    if isinstance(error, CommandFailed):
        return str(error)
    for module, name in _EXPECTED:
        expected = getattr(sys.modules.get(module), name, None)
        if expected is not None and isinstance(error, expected):
            return str(error)
    return None
