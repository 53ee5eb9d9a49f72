"""The version of the client, apart from all that would import a dependency: the build reads it."""

__version__ = "0.1.0"
