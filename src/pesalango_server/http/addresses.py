"""Who is at the other end: the peer's address, or what a trusted proxy says it is."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

from pesalango_server.http.answers import Scope

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_FORWARDED: Final = b"x-forwarded-for"
_FORWARDED_ADDRESSES_MAX: Final = 20
_MAPPED_PREFIX: Final = 96
# An IPv6 address with an interface's name of Linux, in brackets.
_ADDRESS_CHARACTERS_MAX: Final = 64


def parse_address(text: str) -> Address | None:
    """An address as its own kind: an IPv4 one inside an IPv6 one is the IPv4 one.

    An IPv6 address may stand in brackets.
    """
    return _parse_address(text) if len(text) <= _ADDRESS_CHARACTERS_MAX else None


@lru_cache(maxsize=4_096)
def _parse_address(text: str) -> Address | None:
    try:
        if text.startswith("[") and text.endswith("]"):
            address: Address = IPv6Address(text[1:-1])
        else:
            address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def normalise_host(host: str) -> str:
    """A host in the one spelling in which hosts are compared.

    Names in lower case; addresses in their shortest form, those of IPv6 in brackets, and an IPv4
    one inside an IPv6 one as the IPv4 one.
    """
    address = parse_address(host)
    if address is None:
        return host.lower()
    return f"[{address}]" if isinstance(address, IPv6Address) else str(address)


def name_from_here(host: str) -> str:
    """How this machine calls a host that is listened on: a wildcard by its loopback address."""
    address = parse_address(host)
    if address is None or not address.is_unspecified:
        return host
    return "127.0.0.1" if isinstance(address, IPv4Address) else "::1"


def parse_network(text: str, *, strict: bool) -> Network:
    """A single address or a CIDR range, as its own kind like `parse_address`.

    Raises ValueError; `strict` allows no host bits in a range.
    """
    base, slash, prefix = text.partition("/")
    if not slash:
        address = parse_address(text)
        if address is None:
            raise ValueError(f"{text!r} is no address")
        return ip_network(address)
    if base.startswith("[") and base.endswith("]"):
        base = base[1:-1]
    network = ip_network(f"{base}/{prefix}", strict=strict)
    if isinstance(network, IPv6Network) and network.prefixlen >= _MAPPED_PREFIX:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - _MAPPED_PREFIX))
    return network


@lru_cache(maxsize=4_096)
def parse_networks(texts: tuple[str, ...]) -> tuple[Network, ...]:
    """Single addresses and CIDR ranges; host bits are allowed. Raises ValueError."""
    return tuple(parse_network(text, strict=False) for text in texts)


def is_within(address: Address, networks: Iterable[Network]) -> bool:
    """Whether one of the networks holds the address."""
    return any(address.version == network.version and address in network for network in networks)


def neighbourhood_of(address: Address) -> Network:
    """What one subscriber of an access provider usually has: a /24, or a /64."""
    prefix = 24 if isinstance(address, IPv4Address) else 64
    return ip_network((address, prefix), strict=False)


class PeerFinder:
    """Finds the caller's address, in front of which trusted proxies may stand."""

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        self._trusted = parse_networks(tuple(trusted_proxies))

    def find(self, scope: Scope) -> Address | None:
        """The caller's address; None where the socket has none (a Unix socket).

        Only what trusted proxies added is believed: from the right, the first address that is no
        trusted proxy's. What cannot be read ends the search at the proxy that sent it.
        """
        client = scope.get("client")
        peer = parse_address(client[0]) if client else None
        if peer is None or not self._trusted or not is_within(peer, self._trusted):
            return peer
        forwarded = b",".join(
            [value for name, value in scope["headers"] if name == _FORWARDED]
        ).decode("latin-1")
        for text in reversed(forwarded.rsplit(",", _FORWARDED_ADDRESSES_MAX)):
            address = parse_address(text.strip())
            if address is None:
                break
            peer = address
            if not is_within(address, self._trusted):
                break
        return peer
