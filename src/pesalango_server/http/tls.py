"""A certificate and its key, made into what OpenSSL serves with."""

import contextlib
import os
import ssl
from collections.abc import Iterator
from typing import Final

import msgspec

from pesalango_server.http.addresses import name_from_here, parse_address

# Of TLS 1.2: those with forward secrecy that authenticate what they encrypt. All of TLS 1.3 are so.
_CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"


class TlsUnusable(Exception):
    """Certificate and key cannot be served with; the message names the file and what is wrong."""


class TlsMaterial(msgspec.Struct, frozen=True):
    """A certificate, its chain behind it, and its private key, all in PEM."""

    certificate: bytes
    key: bytes

    def __repr__(self) -> str:
        """Without the key."""
        return "TlsMaterial(***)"


def choose_name(names: tuple[str, ...], host: str) -> str | None:
    """Which of a certificate's names a client of this machine calls a listener at `host` by."""
    here = name_from_here(host)
    candidates = (here, "localhost") if here in {"127.0.0.1", "::1"} else (here,)
    whole = [name for name in names if "*" not in name and parse_address(name) is None]
    return next((name for name in (*candidates, *whole) if name in names), None)


def make_server_context(
    material: TlsMaterial, *, source: str = "certificate and key"
) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 for any name that a client asks for, HTTP/1.1 alone. Raises `TlsUnusable`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    # A client could have us do the costly part of a handshake over and over on one connection.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        with _as_file(material.certificate) as certificate, _as_file(material.key) as key:
            context.load_cert_chain(certificate, key, password=b"")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise TlsUnusable(f"OpenSSL does not take {source}: {reason}") from error
    return context


@contextlib.contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A name under which OpenSSL reads what is in memory alone: a pipe that holds all of it.

    Python offers no other way, and a copy on a disk is one more place for a key to be found.
    """
    read_end, write_end = os.pipe()
    try:
        try:
            os.set_blocking(write_end, False)
            if os.write(write_end, content) < len(content):
                raise OSError("it does not fit into a pipe")
        finally:
            os.close(write_end)
        yield f"/dev/fd/{read_end}"
    finally:
        os.close(read_end)


class TlsContext:
    """The context that new connections of a worker are served with."""

    def __init__(self, material: TlsMaterial) -> None:
        self.current = make_server_context(material)

    def renew(self, material: TlsMaterial) -> None:
        """Serve with another certificate from now on; open connections keep theirs."""
        self.current = make_server_context(material)
