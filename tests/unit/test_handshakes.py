"""Callers at a TLS address: those that shake hands, those that do not, and those that never end."""

import asyncio
import contextlib
import http.client
import json
import select
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pesalango_server.http.certificates import read_material
from pesalango_server.http.handshakes import Handshakes
from pesalango_server.http.tls import TlsContext
from pesalango_server.kernel.clock import SystemClock
from pesalango_server.main.authority import Issued
from pesalango_server.telemetry import NowAndThen
from tests.unit.http_server import TIMEOUT_S
from tests.unit.test_http_protocol import Echo
from tests.unit.tls_server import connect, issue, read_issued, serve_tls, trust

DEADLINE_MS = 600
CLIENT_HELLO_BEGINS = b"\x16\x03\x01\x02\x00\x01\x00\x01"


@pytest.fixture(scope="module")
def issued(tmp_path_factory: pytest.TempPathFactory) -> Issued:
    return issue(tmp_path_factory.mktemp("tls"), "gateway.example")


@pytest.fixture(scope="module")
def context(issued: Issued) -> TlsContext:
    return read_issued(issued)


@pytest.fixture(scope="module")
def port(context: TlsContext) -> Iterator[int]:
    settings = {"request_deadline_ms": DEADLINE_MS, "linger_ms": 200, "connections_max": 5}
    with serve_tls(Echo(), context, **settings) as port:
        yield port


def ask(wire: socket.socket) -> int:
    """A request; the status of its answer."""
    wire.sendall(b"GET /x HTTP/1.1\r\nHost: gateway.example\r\n\r\n")
    with http.client.HTTPResponse(wire) as answer:
        answer.begin()
        answer.read()
        return answer.status


def wait_for_end(wire: socket.socket) -> float:
    """Read until the server ends the connection; the seconds that took."""
    started = time.monotonic()
    try:
        while wire.recv(65_536):
            pass
    except ConnectionResetError:
        pass
    return time.monotonic() - started


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("name", ["gateway.example", "openapi.m-pesa.com", None])
def test_any_name_that_a_client_asks_for_is_served(
    port: int, issued: Issued, name: str | None, version: ssl.TLSVersion
) -> None:
    client = trust(issued)
    client.check_hostname = False
    client.minimum_version = client.maximum_version = version
    with connect(port) as raw, client.wrap_socket(raw, server_hostname=name) as wire:
        assert ask(wire) == 200
        assert wire.version() == version.name.replace("_", ".")


def test_http_1_1_is_what_is_agreed_on_with_a_client_that_knows_more(
    port: int, issued: Issued
) -> None:
    client = trust(issued)
    client.set_alpn_protocols(["h2", "http/1.1"])
    with connect(port) as raw, client.wrap_socket(raw, server_hostname="localhost") as wire:
        assert wire.selected_alpn_protocol() == "http/1.1"
        assert ask(wire) == 200


def test_tls_below_1_2_and_ciphers_without_forward_secrecy_are_not_offered(
    context: TlsContext,
) -> None:
    assert context.current.minimum_version == ssl.TLSVersion.TLSv1_2
    names = {cipher["name"] for cipher in context.current.get_ciphers()}
    assert names
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in names)
    assert all("GCM" in name or "CHACHA20" in name for name in names)


@pytest.mark.parametrize("sent", [b"", CLIENT_HELLO_BEGINS])
def test_a_handshake_that_never_ends_is_ended_by_the_deadline(port: int, sent: bytes) -> None:
    with connect(port) as wire:
        wire.sendall(sent)
        assert DEADLINE_MS / 1000 * 0.5 < wait_for_end(wire) < 5


def test_plain_http_is_told_in_plain_http_where_it_is(port: int) -> None:
    with connect(port) as wire:
        wire.sendall(b"GET /sandbox/ HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = wire.recv(65_536).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 ")
        assert "HTTPS" in json.loads(body)["output_error"]
        wait_for_end(wire)


def test_what_breaks_a_handshake_leaves_no_trace_and_no_open_file(
    port: int, issued: Issued, capfd: pytest.CaptureFixture[str]
) -> None:
    def break_one(sent: bytes) -> None:
        with connect(port) as wire:
            wire.sendall(sent)
            if sent:
                wait_for_end(wire)

    for sent in (b"", CLIENT_HELLO_BEGINS + b"\0" * 600, b"\x16\x03\x01\xff\xff" + b"x" * 20):
        break_one(sent)
    client = ssl.create_default_context()
    with connect(port) as raw, pytest.raises(ssl.SSLCertVerificationError):
        client.wrap_socket(raw, server_hostname="gateway.example")

    assert capfd.readouterr().err == ""
    # All of them have left: there is room for as many as the bound allows.
    wires = [connect(port) for _ in range(4)]
    with trust(issued).wrap_socket(connect(port), server_hostname="localhost") as wire:
        assert ask(wire) == 200
    for one in wires:
        one.close()


def test_handshakes_count_among_the_connections(port: int, issued: Issued) -> None:
    wires = [connect(port) for _ in range(5)]
    try:
        for wire in wires:
            wire.sendall(CLIENT_HELLO_BEGINS)
        with connect(port) as one_too_many:
            assert wait_for_end(one_too_many) < DEADLINE_MS / 1000 * 0.5
        assert not select.select(wires, [], [], 0)[0]
        for wire in wires:
            wait_for_end(wire)
        with trust(issued).wrap_socket(connect(port), server_hostname="localhost") as served:
            assert ask(served) == 200
    finally:
        for wire in wires:
            wire.close()


def test_a_caller_who_sits_idle_does_not_hold_up_the_end(
    context: TlsContext, issued: Issued
) -> None:
    client = trust(issued)
    with serve_tls(Echo(), context) as port:
        idle = client.wrap_socket(connect(port), server_hostname="localhost")
        assert ask(idle) == 200
        silent = connect(port)
        # The end comes within two seconds: `serve_tls` sees to it.
    idle.close()
    silent.close()


def test_an_open_connection_keeps_the_certificate_that_a_new_one_no_longer_sees(
    tmp_path: Path,
) -> None:
    old = issue(tmp_path, "old.example")
    client, context = trust(old), read_issued(old)
    with serve_tls(Echo(), context) as port:
        first = client.wrap_socket(connect(port), server_hostname="old.example")
        assert ask(first) == 200
        new = issue(tmp_path, "new.example")
        context.renew(read_material(str(new.certificate), str(new.key)))
        with client.wrap_socket(connect(port), server_hostname="new.example") as second:
            assert ask(second) == 200
            assert second.getpeercert(binary_form=True) != first.getpeercert(binary_form=True)
        assert ask(first) == 200
        first.close()


def test_addresses_that_share_a_bound_share_it_for_handshakes_too(context: TlsContext) -> None:
    connections: set[object] = set()

    async def work() -> None:
        listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
        handshakes = [
            Handshakes(
                listener,
                context,
                make_protocol=lambda: pytest.fail("nobody shakes hands"),
                connections=connections,
                connections_max=2,
                deadline_ms=60_000,
                now_and_then=NowAndThen(SystemClock()),
            )
            for listener in listeners
        ]
        for one in handshakes:
            one.start()
        ports = [listener.getsockname()[1] for listener in listeners]
        with contextlib.ExitStack() as callers:
            for port in ports:
                callers.enter_context(await asyncio.to_thread(connect, port))
            async with asyncio.timeout(TIMEOUT_S):
                for port in ports:
                    one_too_many = callers.enter_context(connect(port))
                    assert await asyncio.to_thread(one_too_many.recv, 1) == b""
            assert len(connections) == 2
            for one in handshakes:
                await one.stop()
        for listener in listeners:
            listener.close()

    asyncio.run(work())
    assert connections == set()
