"""The URL of a database: where a password stands in it, and how it is shown without."""

from typing import Final
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

SCHEMES: Final = ("postgresql", "postgres")
MASK: Final = "***"


def can_be_split(database: str) -> bool:
    """Whether the parts of a URL can be told apart at all."""
    try:
        urlsplit(database)
    except ValueError:
        return False
    return True


def has_password(database: str) -> bool:
    """Whether a URL carries a password."""
    parts = urlsplit(database if can_be_split(database) else "")
    return parts.password is not None or "password" in parse_qs(parts.query, keep_blank_values=True)


def insert_password(url: str, password: str) -> str:
    """The URL with a password for its user."""
    parts = urlsplit(url)
    user, _, place = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    return urlunsplit(parts._replace(netloc=f"{name}:{quote(password, safe='')}@{place}"))


def mask_database(database: str) -> str:
    """A database URL fit for a log: its password and all that follows the path are masked."""
    parts = urlsplit(database)
    if parts.scheme not in SCHEMES:
        return database
    user, at, place = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    netloc = f"{name}{colon}{MASK if colon else ''}{at}{place}"
    return urlunsplit((parts.scheme, netloc, parts.path, MASK if parts.query else "", ""))
