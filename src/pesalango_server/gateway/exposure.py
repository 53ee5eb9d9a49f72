"""What may be served in plain HTTP, as far as secrets on the way go, and to whom.

Bearers and admin tokens can be used by whoever reads them on the way. Over TLS, and on an address of
this machine alone, they are safe. Any other address is exposed: there the sandbox is for everybody,
`openapi` and the admin API for proxies that are trusted, and that bring TLS, alone.
"""

from collections.abc import Sequence

from pesalango_server.http.addresses import is_within, parse_address, parse_networks
from pesalango_server.http.answers import Scope


class ExposedInTheClear(Exception):
    """Secrets would be sent unencrypted to other machines; the message says what to do."""


class TrustedPeers:
    """Who is served everything at an exposed address."""

    def __init__(self, trusted_proxies: Sequence[str]) -> None:
        self._trusted = parse_networks(tuple(trusted_proxies))

    def hold(self, scope: Scope) -> bool:
        """Whether a request came from one of them: by its socket, and by no header, which anybody
        can write.
        """
        client = scope.get("client")
        peer = parse_address(client[0]) if client else None
        return peer is not None and is_within(peer, self._trusted)


def is_exposed(host: str, *, is_tls: bool) -> bool:
    """Whether other machines could read what is said at an address; `host` is what is listened on."""
    if is_tls:
        return False
    address = parse_address(host.strip("[]"))
    return host != "localhost" if address is None else not address.is_loopback


def check_exposure(
    host: str, *, is_tls: bool, trusted_proxies: Sequence[str], is_demonstration: bool
) -> str | None:
    """A warning that the operator should read, or None.

    At an exposed address without a trusted proxy `serve` would serve nobody what it is there for: it
    refuses with `ExposedInTheClear`. A demonstration (`up`) goes on, and says what is not served.
    """
    if not is_exposed(host, is_tls=is_tls):
        return None
    if is_demonstration:
        beyond = "to the trusted proxies alone" if trusted_proxies else "to nobody"
        return (
            f"{host} can be reached from other machines without encryption, where session keys can "
            "be read on the way: the sandbox is served there to everybody, openapi and the admin "
            f"API {beyond}"
        )
    if trusted_proxies:
        return None
    raise ExposedInTheClear(
        f"{host} can be reached from other machines without encryption, and session keys could be "
        "read on the way: give tls_certificate and tls_key, or listen on 127.0.0.1 behind a proxy "
        "that brings TLS, or name that proxy in trusted_proxies"
    )
