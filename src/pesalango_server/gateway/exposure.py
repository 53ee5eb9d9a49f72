"""Whether the operator's API may be served at an address, as far as secrets on the way go."""

from collections.abc import Sequence

from pesalango_server.http.addresses import parse_address


class ExposedInTheClear(Exception):
    """`openapi` would be served unencrypted to other machines; the message says what to do."""


def check_exposure(
    host: str, *, is_tls: bool, trusted_proxies: Sequence[str], is_demonstration: bool
) -> str | None:
    """A warning that the operator should read, or None; `host` is what is listened on.

    Bearers can be used by whoever reads them on the way. Over TLS, on an address of this machine
    alone, or behind a proxy that is trusted (and that brings TLS), they are safe. Elsewhere
    `openapi` is never served: `serve` refuses with `ExposedInTheClear`; a demonstration (`up`) goes
    on with the sandbox alone at that address, and says so.
    """
    if is_tls:
        return None
    address = parse_address(host.strip("[]"))
    is_loopback = host == "localhost" if address is None else address.is_loopback
    if is_loopback or trusted_proxies:
        return None
    if is_demonstration:
        return (
            f"{host} can be reached from other machines without encryption, where session keys can "
            "be read on the way: the sandbox is served there, openapi is not"
        )
    raise ExposedInTheClear(
        f"{host} can be reached from other machines without encryption, and session keys could be "
        "read on the way: give tls_certificate and tls_key, or listen on 127.0.0.1 behind a proxy "
        "that brings TLS, or name that proxy in trusted_proxies"
    )
