"""Whether an application may be used from here: its origins and its trusted sources."""

import re

from pesalango_server.applications.model import Application
from pesalango_server.http.addresses import (
    Address,
    is_within,
    normalise_host,
    parse_networks,
)

ANY_ORIGIN = "*"

_match_origin = re.compile(
    r"(?:[A-Za-z][A-Za-z0-9+.-]*://)?(?P<host>\[[^\]]*\]|[^:]*)(?::[0-9]*)?"
).fullmatch


def host_of_origin(origin: str) -> str:
    """The host of an `Origin` header as hosts are compared: scheme and port do not count."""
    match = _match_origin(origin)
    return normalise_host(match["host"] if match else origin)


def admits_origin(application: Application, origin: str) -> bool:
    """Whether the application may be used with this `Origin`; a `*` in it admits any value."""
    return ANY_ORIGIN in application.origins or host_of_origin(origin) in application.origins


def admits_source(application: Application, address: Address | None) -> bool:
    """Whether the application may be used from this address; no list admits all."""
    if not application.sources:
        return True
    return address is not None and is_within(address, parse_networks(application.sources))
