"""From the settings to listening sockets: which addresses, which of them over TLS, what is safe."""

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from pesalango_server.gateway.exposure import ExposedInTheClear, check_exposure, is_exposed
from pesalango_server.http.tls import TlsUnusable
from pesalango_server.main.failures import ServerFailed
from pesalango_server.main.server import Listener
from pesalango_server.settings import ListenAddress, Settings, environment_name, parse_listen

if TYPE_CHECKING:
    from pesalango_server.main.certificate import CertificateKeeper

SERVE_DEFAULT = "127.0.0.1:8080"

_OWN_ADMIN_ADDRESS = ListenAddress("127.0.0.1", 0, is_tls=False)


def list_serve_addresses(settings: Settings) -> tuple[list[ListenAddress], ListenAddress]:
    """What `serve` listens on: for the operator's API, and for the admin API."""
    has_certificate = bool(settings.tls_certificate)
    listen = settings.listen or (SERVE_DEFAULT,)
    return (
        [parse_listen(text, has_certificate=has_certificate) for text in listen],
        parse_listen(settings.admin_listen, has_certificate=has_certificate),
    )


def list_up_addresses(settings: Settings) -> list[ListenAddress]:
    """What `up` listens on: host and port, unless the settings name addresses."""
    has_certificate = bool(settings.tls_certificate)
    if not settings.listen:
        return [ListenAddress(settings.host.strip("[]"), settings.port, is_tls=has_certificate)]
    return [parse_listen(text, has_certificate=has_certificate) for text in settings.listen]


def read_certificate(
    settings: Settings, addresses: Sequence[ListenAddress]
) -> "CertificateKeeper | None":
    """The certificate that the addresses need; None where none of them does.

    Raises `ServerFailed`.
    """
    if bool(settings.tls_certificate) != bool(settings.tls_key):
        given, absent = "tls_certificate", "tls_key"
        if settings.tls_key:
            given, absent = absent, given
        raise ServerFailed(
            f"{given} is given without {absent}: TLS needs both, as flags or as "
            f"{environment_name('tls_certificate')} and {environment_name('tls_key')}"
        )
    if not any(address.is_tls for address in addresses):
        return None
    if not settings.tls_certificate:
        raise ServerFailed(
            "TLS is to be spoken, but there is no certificate: give --tls-certificate and --tls-key "
            "(pesalango-server certificate makes them)"
        )
    from pesalango_server.main.certificate import CertificateKeeper  # noqa: PLC0415

    # From here on SIGHUP asks for the files to be read again; that has just been done.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        return CertificateKeeper(settings)
    except TlsUnusable as error:
        raise ServerFailed(f"TLS cannot be spoken: {error}") from error


@contextlib.contextmanager
def open_listeners(
    addresses: Sequence[ListenAddress],
    settings: Settings,
    *,
    admin_addresses: Sequence[ListenAddress] = (),
    is_demonstration: bool,
    say: Callable[[str], None],
) -> Iterator[list[Listener]]:
    """The sockets, bound: those of the operator's API (and, under `up`, of the admin API), then the
    admin API's own. Closed at the end. Raises `ServerFailed`.

    Where all of the plain addresses of an `up` are exposed, the commands of this machine get one of
    their own for the admin API, at a port that the system chooses.
    """
    everywhere = [*addresses, *admin_addresses]
    ipv4_ports = {address.port for address in everywhere if ":" not in address.host}
    plain = [address for address in addresses if not address.is_tls]
    if is_demonstration and plain and all(is_exposed(each.host, is_tls=False) for each in plain):
        everywhere.append(_OWN_ADMIN_ADDRESS)
    with contextlib.ExitStack() as stack:
        listeners = []
        # All are judged before the first is bound: a start that is refused takes no port.
        for address in everywhere:
            warn_of_exposure(address, settings, is_demonstration=is_demonstration, say=say)
        for index, address in enumerate(everywhere):
            is_admin = index >= len(addresses)
            listener = Listener(
                address,
                gateway=not is_admin,
                admin=is_admin or is_demonstration,
                is_exposed=is_exposed(address.host, is_tls=address.is_tls),
                # Without it [::] stands for IPv4 too, and the port of 0.0.0.0 is taken.
                is_ipv6_only=":" in address.host and address.port in ipv4_ports,
            )
            stack.callback(listener.socket.close)
            listeners.append(listener)
        yield listeners


def warn_of_exposure(
    address: ListenAddress,
    settings: Settings,
    *,
    is_demonstration: bool,
    say: Callable[[str], None],
) -> None:
    """Say, in a demonstration, that an address is exposed; else raise `ServerFailed` if it may not."""
    try:
        warning = check_exposure(
            address.host,
            is_tls=address.is_tls,
            trusted_proxies=settings.trusted_proxies,
            is_demonstration=is_demonstration,
        )
    except ExposedInTheClear as error:
        raise ServerFailed(str(error)) from error
    if warning:
        say(f"Note: {warning}.")
