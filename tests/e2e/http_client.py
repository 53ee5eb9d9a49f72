"""HTTP as a merchant's program speaks it: one connection that is kept, and no second try.

What a program knows after a failure is what these tests are about, so a request says how far it
came: never sent, sent without an answer, or answered.
"""

import base64
import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

TIMEOUT_S = 60.0


class NotSent(Exception):
    """There was nobody to connect to: it is certain that the request was not made."""


class Unanswered(Exception):
    """The connection broke before a whole answer had arrived."""


class Connection:
    """Keep-alive to one server; opened again after it broke, by the next request alone."""

    def __init__(
        self,
        base_url: str,
        *,
        timeout_s: float = TIMEOUT_S,
        tls_context: ssl.SSLContext | None = None,
        found_at: str | None = None,
        source: str | None = None,
    ) -> None:
        """An https URL needs `tls_context`; `found_at` is the address that its host has here, and
        `source` the one to call from, which the system chooses otherwise.
        """
        self._place = urlsplit(base_url)
        self._timeout_s = timeout_s
        self._tls_context = tls_context
        self._found_at = found_at
        self._source = None if source is None else (source, 0)
        self._connection: http.client.HTTPConnection | None = None

    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> tuple[int, Any]:
        """Status and JSON of the answer. Raises `NotSent` and `Unanswered`."""
        connection = self._connect()
        text = None if body is None else json.dumps(body)
        try:
            connection.request(
                method,
                path,
                body=text,
                headers={"Content-Type": "application/json", **(headers or {})},
            )
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise Unanswered(repr(error)) from error
        if answer.will_close:
            self.close()
        return answer.status, json.loads(content) if content else None

    def _connect(self) -> http.client.HTTPConnection:
        if self._connection is None:
            connection = self._make_connection()
            try:
                connection.connect()
            except OSError as error:
                connection.close()
                raise NotSent(repr(error)) from error
            # Its own second try would hide what became of the first.
            connection.auto_open = 0
            self._connection = connection
        return self._connection

    def _make_connection(self) -> http.client.HTTPConnection:
        host, port = self._place.hostname or "", self._place.port
        if self._place.scheme == "https":
            assert self._tls_context is not None, "whom to trust has to be said"
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host,
                port,
                timeout=self._timeout_s,
                context=self._tls_context,
                source_address=self._source,
            )
        else:
            connection = http.client.HTTPConnection(
                host, port, timeout=self._timeout_s, source_address=self._source
            )
        if self._found_at is not None:
            place = self._found_at, connection.port

            def connect(_address: Any, *arguments: Any) -> socket.socket:
                return socket.create_connection(place, *arguments)

            # As a line in the file of hosts would do it: the name goes into the request and the
            # handshake all the same.
            connection._create_connection = connect  # type: ignore[attr-defined]
        return connection

    def read_certificate(self) -> bytes:
        """What the server showed when this connection was opened, in DER."""
        wire = self._connect().sock
        assert isinstance(wire, ssl.SSLSocket)
        return wire.getpeercert(binary_form=True) or b""

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def call(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: Any = None,
    timeout_s: float = TIMEOUT_S,
    tls_context: ssl.SSLContext | None = None,
    source: str | None = None,
) -> tuple[int, Any]:
    """One request on a connection of its own. Raises `OSError` for whatever breaks it."""
    parts = urlsplit(url)
    connection = Connection(url, timeout_s=timeout_s, tls_context=tls_context, source=source)
    path = parts.path + (f"?{parts.query}" if parts.query else "")
    try:
        return connection.request(method, path, headers=headers, body=body)
    except (NotSent, Unanswered, ValueError) as error:
        raise OSError(str(error)) from error
    finally:
        connection.close()


def encrypt_bearer(secret: str, public_key: str) -> str:
    """The bearer: `secret` under the platform's key (base64 of its DER form)."""
    key = load_der_public_key(base64.b64decode(public_key))
    assert isinstance(key, rsa.RSAPublicKey)
    return base64.b64encode(key.encrypt(secret.encode(), padding.PKCS1v15())).decode()
