"""Which response URLs are usable, as far as their text tells.

What a host's name resolves to is judged when the result is delivered; here only addresses that
stand in the URL itself are looked at, in every spelling that a resolver would take for one.
"""

import ipaddress
import re
from typing import Final
from urllib.parse import urlsplit

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

URL_CHARACTERS_MAX: Final = 2000

# A cloud's metadata service outside all reserved ranges; the others' addresses are link-local,
# shared or unique-local and need no list.
_METADATA_ADDRESSES: Final = frozenset({ipaddress.ip_address("168.63.129.16")})
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_GLOBAL_UNICAST: Final = ipaddress.IPv6Network("2000::/3")

# Blanks and control characters must be refused before urlsplit drops some of them silently, and a
# backslash because browsers and libraries disagree on where the host ends.
_match_url = re.compile(r"[Hh][Tt][Tt][Pp][Ss]?://[!-\[\]-~]+").fullmatch
_match_ipv4_part = re.compile(r"0[xX][0-9a-fA-F]*|[0-9]+").fullmatch


def is_usable_response_url(url: str, *, loopback_allowed: bool) -> bool:
    """Whether a result could be sent there: http or https, a host, a port that exists, and no
    literal address that is forbidden.
    """
    if len(url) > URL_CHARACTERS_MAX or _match_url(url) is None:
        return False
    try:
        parts = urlsplit(url)
        host = parts.hostname
        # Reading the port is what checks it.
        port_is_usable = parts.port != 0
    except ValueError:
        return False
    if not host or not port_is_usable:
        return False
    if "%" in host and ":" not in host:
        # Some clients decode an escaped host, some look it up as it stands.
        return False
    address = parse_address(host)
    return address is None or not is_forbidden_address(address, loopback_allowed=loopback_allowed)


def is_forbidden_address(address: IpAddress, *, loopback_allowed: bool) -> bool:
    """Whether nothing may be sent to the address: loopback, private, link-local, metadata,
    multicast, or otherwise not of the public internet. An IPv4 address inside an IPv6 one counts
    as itself.
    """
    address = _embedded_ipv4(address) or address
    if address.is_loopback:
        return not loopback_allowed
    if isinstance(address, ipaddress.IPv6Address) and address not in _GLOBAL_UNICAST:
        return True
    return not address.is_global or address.is_multicast or address in _METADATA_ADDRESSES


def parse_address(host: str) -> IpAddress | None:
    """The address that a host is the spelling of, or None for a name.

    Takes the old spellings of IPv4 too, as resolvers do: one to four parts, each decimal, octal
    with a leading 0 or hexadecimal with 0x, the last filling what is left (`127.1`, `0x7f000001`).
    """
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return _parse_old_ipv4(host)


def _embedded_ipv4(address: IpAddress) -> ipaddress.IPv4Address | None:
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour


def _parse_old_ipv4(host: str) -> ipaddress.IPv4Address | None:
    parts = host.removesuffix(".").split(".")
    if len(parts) > 4 or any(_match_ipv4_part(part) is None for part in parts):
        return None
    try:
        *leading, last = (_parse_ipv4_part(part) for part in parts)
    except ValueError:
        return None
    if any(number > 0xFF for number in leading) or last >= 256 ** (4 - len(leading)):
        return None
    address = last
    for position, number in enumerate(leading):
        address |= number << (24 - 8 * position)
    return ipaddress.IPv4Address(address)


def _parse_ipv4_part(part: str) -> int:
    if part[:2] in {"0x", "0X"}:
        return int(part[2:] or "0", 16)
    return int(part, 8 if part.startswith("0") else 10)
