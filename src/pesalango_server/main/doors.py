"""The addresses of one `up`: which of them its credentials name, and how it calls itself there."""

import http.client
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pesalango_server.http.addresses import name_from_here
from pesalango_server.http.tls import choose_name
from pesalango_server.main.server import Listener
from pesalango_server.settings import Settings

if TYPE_CHECKING:
    from pesalango_server.main.certificate import CertificateKeeper

_TIMEOUT_S = 10


class Doors:
    """The listeners of one server, and the certificate of those that speak TLS."""

    def __init__(
        self,
        listeners: Sequence[Listener],
        certificate: "CertificateKeeper | None",
        settings: Settings,
    ) -> None:
        self.listeners = listeners
        self.gateway_listeners = [listener for listener in listeners if listener.serves_gateway]
        self.certificate = certificate
        self._settings = settings
        # Plain HTTP is what a program on this machine gets by with; where openapi is served if it
        # is anywhere, else whichever there is.
        plain = [listener for listener in self.gateway_listeners if not listener.is_tls]
        safe = [listener for listener in plain if not listener.is_exposed]
        self.primary = [*safe, *plain, *listeners][0]

    @property
    def base_url(self) -> str:
        """What credentials name: plain HTTP where it is served, else HTTPS."""
        return self.find_url(self.primary)

    @property
    def openapi_url(self) -> str | None:
        """Where `openapi` is served; None where it is not."""
        for listener in (self.primary, *self.gateway_listeners):
            if not listener.is_exposed:
                return self.find_url(listener)
        return None

    @property
    def admin_url(self) -> str:
        """Where the commands of this machine find the admin API."""
        own = [listener for listener in self.listeners if not listener.serves_gateway]
        return f"{self.find_url([*own, self.primary][0])}/admin/v1"

    @property
    def certificate_file(self) -> str:
        """What a client of `base_url` verifies with; empty for plain HTTP."""
        if not self.primary.is_tls:
            return ""
        return str(Path(self._settings.tls_certificate).resolve())

    def find_url(self, listener: Listener) -> str:
        """A listener's address for clients on this machine, by a name that its certificate has."""
        if listener.is_tls and self.certificate is not None:
            name = choose_name(self.certificate.facts.names, listener.host)
            if name is not None:
                return listener.make_url(name)
        return listener.make_url(name_from_here(listener.host))

    def connect(self, listener: Listener) -> http.client.HTTPConnection:
        """A connection to our own socket, not opened yet."""
        host, port = name_from_here(listener.host), listener.port
        if not listener.is_tls or self.certificate is None:
            return http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
        return _OwnConnection(host, port, self.certificate)


class _OwnConnection(http.client.HTTPSConnection):
    """HTTPS to ourselves: the certificate has to be the very one in force.

    Its names, its authority and its dates are for the operator's clients to judge. That its key is
    at the other end, the handshake has proved.
    """

    def __init__(self, host: str, port: int, certificate: "CertificateKeeper") -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        super().__init__(host, port, timeout=_TIMEOUT_S, context=context)
        self._certificate = certificate

    def connect(self) -> None:
        """Raises OSError where the other end has another certificate."""
        super().connect()
        shown = self.sock.getpeercert(binary_form=True)
        if shown != self._certificate.facts.der:
            self.close()
            raise ssl.SSLCertVerificationError("it is not the certificate in force that is shown")
