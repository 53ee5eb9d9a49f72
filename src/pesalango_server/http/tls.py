"""The server's certificate: read, judged, and made into what OpenSSL serves with."""

import contextlib
import os
import ssl
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pesalango_server.http.addresses import name_from_here, parse_address

CERTIFICATE_BYTES_MAX: Final = 32_768
KEY_BYTES_MAX: Final = 16_384

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


class CertificateFacts(msgspec.Struct, frozen=True):
    """What a person wants to know about a certificate; `names` are host names and addresses."""

    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    der: bytes

    def find_fault(self, now: datetime) -> str | None:
        """Why clients that look at dates refuse it now; None where they do not."""
        if now > self.not_after:
            return f"it has been out of date since {self.not_after:%Y-%m-%d %H:%M} UTC"
        if now < self.not_before:
            return f"it is not valid before {self.not_before:%Y-%m-%d %H:%M} UTC"
        return None


def read_material(certificate_file: str, key_file: str) -> TlsMaterial:
    """Certificate and key of two files, which belong together. Raises `TlsUnusable`."""
    certificate = _read(certificate_file, CERTIFICATE_BYTES_MAX, "the certificate")
    key = _read(key_file, KEY_BYTES_MAX, "the key")
    try:
        leaf = x509.load_pem_x509_certificates(certificate)[0]
        certified = leaf.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except ValueError as error:
        raise TlsUnusable(f"{certificate_file} holds no certificate in PEM") from error
    except Exception as error:
        # Of a kind of key that the library does not know.
        raise TlsUnusable(f"{certificate_file} holds a certificate of an unknown kind") from error
    if _read_public_key(key, key_file) != certified:
        raise TlsUnusable(
            f"the key in {key_file} is not that of the certificate {certificate_file}"
        )
    material = TlsMaterial(certificate, key)
    make_server_context(material, source=f"{certificate_file} and {key_file}")
    return material


def _read(path: str, bytes_max: int, what: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            content = file.read(bytes_max + 1)
    except OSError as error:
        raise TlsUnusable(f"{path}, {what}, cannot be read: {error.strerror or error}") from error
    if len(content) > bytes_max:
        raise TlsUnusable(f"{path}, {what}, has more than {bytes_max} bytes")
    return content


def _read_public_key(key: bytes, key_file: str) -> bytes:
    try:
        private = serialization.load_pem_private_key(key, None)
    except TypeError:
        raise TlsUnusable(
            f"the key in {key_file} has a password, for which nobody could be asked at a restart; "
            "take it off (openssl pkey) and protect the file by its mode"
        ) from None
    except Exception:  # noqa: BLE001 - many kinds, of which none is to repeat what is in the file
        raise TlsUnusable(f"{key_file} holds no private key in PEM") from None
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def describe_certificate(certificate: bytes) -> CertificateFacts:
    """The facts of the first certificate in a PEM that was read before."""
    leaf = x509.load_pem_x509_certificates(certificate)[0]
    names: tuple[str, ...] = ()
    # A certificate with no name, or with one that cannot be read, is for its owner to explain.
    with contextlib.suppress(x509.ExtensionNotFound, ValueError):
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = (
            *alternatives.get_values_for_type(x509.DNSName),
            *(str(address) for address in alternatives.get_values_for_type(x509.IPAddress)),
        )
    return CertificateFacts(
        names=names,
        not_before=leaf.not_valid_before_utc,
        not_after=leaf.not_valid_after_utc,
        der=leaf.public_bytes(Encoding.DER),
    )


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
