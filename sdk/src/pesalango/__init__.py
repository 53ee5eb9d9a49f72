"""Pesalango's client: the operator's mobile-money API for Python programs."""

from pesalango._version import __version__

__all__ = ["__version__"]
