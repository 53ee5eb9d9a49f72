"""Pesalango: a mobile-money payment gateway that anyone can run (the server's package)."""

__version__ = "0.1.0"
