"""Addresses to listen on, as a setting spells them: `[plain:|tls:]ADDRESS:PORT`."""

import re
from typing import Final

from msgspec import Struct

PORT_MAX: Final = 65_535

LISTEN_PATTERN: Final = r"^(?:(?:plain|tls):)?(?:\[[0-9A-Fa-f:.%\w]+\]|[^\s:\[\],]+):[0-9]{1,5}$"

LISTEN_EXPLANATION: Final = (
    "an address and a port, such as 127.0.0.1:8080, [::1]:8080, plain:127.0.0.1:8080 or "
    "tls:0.0.0.0:8443 (IPv6 in brackets, a port up to 65535)"
)

_PARTS: Final = re.compile(r"(?:(plain|tls):)?\[?(.+?)\]?:([0-9]+)")


class ListenAddress(Struct, frozen=True):
    """Where to listen, and whether TLS is spoken there."""

    host: str
    port: int
    is_tls: bool


def parse_listen(text: str, *, has_certificate: bool) -> ListenAddress:
    """An address to listen on; without a prefix it is TLS where there is a certificate.

    Raises ValueError.
    """
    parts = _PARTS.fullmatch(text) if re.fullmatch(LISTEN_PATTERN, text) else None
    if parts is None or int(parts[3]) > PORT_MAX:
        raise ValueError(f"{text!r} is no address to listen on")
    is_tls = parts[1] == "tls" if parts[1] else has_certificate
    return ListenAddress(host=parts[2], port=int(parts[3]), is_tls=is_tls)
