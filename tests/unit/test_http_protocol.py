"""The protocol between socket and application: deadlines, bounds, upgrades, refusals."""

import asyncio
import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from pesalango_server.http.answers import send_json
from pesalango_server.http.bodies import BodyTooLarge, CallerGone, read_body, refuse_body
from pesalango_server.http.protocol import close_unanswered, is_gone
from tests.e2e.server import wait_until
from tests.unit.http_server import Wire, exchange, serve

BODY_BYTES_MAX = 65_536
DEADLINE_MS = 300


class Echo:
    """Answers with what it understood; some paths behave in ways of their own."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.gone = 0
        self.release = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        self.began.append(path)
        if path == "/early":
            await send_json(send, 401, b'{"early":true}')
            return
        if path == "/unknown":
            close_unanswered(scope)
            return
        try:
            body = await read_body(receive, body_bytes_max=BODY_BYTES_MAX)
        except BodyTooLarge as error:
            await refuse_body(
                receive,
                send,
                413,
                b'{"too":"large"}',
                is_whole=error.is_whole,
                dropped_bytes_max=4_194_304,
            )
            return
        except CallerGone:
            self.gone += 1
            return
        if path == "/leaves":
            assert not is_gone(scope)
            message = await receive()
            assert message["type"] == "http.disconnect"
            self.gone += is_gone(scope)
            return
        if path == "/slow":
            await asyncio.wait_for(self.release.wait(), 10)
        if path == "/release":
            self.release.set()
        headers = {name.decode(): value.decode() for name, value in scope["headers"]}
        content = {"path": path, "body": body.decode(), "headers": headers}
        await send_json(send, 200, json.dumps(content).encode())


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
def port(echo: Echo) -> Iterator[int]:
    with serve(echo, request_deadline_ms=DEADLINE_MS, linger_ms=200) as port:
        yield port


def post(path: str, body: bytes, *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def error_of(body: bytes) -> str:
    content = json.loads(body)
    assert list(content) == ["output_error"]
    return str(content["output_error"])


# --- deadlines -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [b"GET /slow-head HTT", b"GET / HTTP/1.1\r\nHost: x\r\nAccept", b"\r\n\r\nGET / HTTP/1.1\r\n"],
)
def test_a_head_that_does_not_arrive_in_time_is_answered_408(port: int, sent: bytes) -> None:
    with Wire(port) as wire:
        wire.send(sent)
        reply = wire.read_reply()
        assert reply.status == 408
        assert error_of(reply.body)
        assert wire.read_to_end() == b""


def test_an_application_can_ask_whether_its_caller_has_gone(port: int, echo: Echo) -> None:
    with Wire(port) as wire:
        wire.send(post("/leaves", b"x"))
        wait_until(lambda: "/leaves" in echo.began, timeout_s=5, what="the request")
        assert echo.gone == 0
    wait_until(lambda: echo.gone == 1, timeout_s=5, what="word that the caller has gone")


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_half_a_body_is_answered_408_and_its_application_ends(
    port: int, echo: Echo, method: str
) -> None:
    with Wire(port) as wire:
        wire.send(method.encode() + b" /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        reply = wire.read_reply()
        assert reply.status == 408
        assert reply.header("connection") == "close"
        assert wire.read_to_end() == b""
    wait_until(lambda: echo.gone == 1, timeout_s=5, what="the end of its application")


def test_half_a_chunked_body_is_answered_408(port: int) -> None:
    with Wire(port) as wire:
        wire.send(b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123")
        assert wire.read_reply().status == 408


def test_a_connection_without_a_byte_is_closed_without_an_answer(port: int) -> None:
    with Wire(port) as wire:
        assert wire.read_to_end() == b""


def test_a_caller_that_sends_blank_lines_for_ever_is_let_go(port: int) -> None:
    with Wire(port) as wire:
        wire.send(b"\r\n\r\n")
        assert wire.read_to_end() == b""


def test_a_request_in_pieces_within_its_deadline_is_served(port: int) -> None:
    whole = post("/x", b"hello")
    with Wire(port) as wire:
        for start in range(0, len(whole), 7):
            wire.send(whole[start : start + 7])
        assert json.loads(wire.read_reply().body)["body"] == "hello"


def test_an_answer_may_take_longer_than_a_request(port: int) -> None:
    with Wire(port) as waiting, Wire(port) as slow:
        waiting.send(post("/slow", b""))
        # A deadline later, which this other connection tells.
        assert slow.read_to_end() == b""
        assert json.loads(exchange(port, post("/release", b"")).body)["path"] == "/release"
        assert waiting.read_reply().status == 200


def test_a_body_that_still_comes_after_an_early_answer_ends_at_the_deadline(port: int) -> None:
    with Wire(port) as wire:
        wire.send(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        assert wire.read_reply().status == 401
        assert wire.read_to_end() == b""


def test_the_next_request_is_read_after_an_early_answer(port: int) -> None:
    with Wire(port) as wire:
        wire.send(b"POST /early HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        assert wire.read_reply().status == 401
        wire.send(b"67890" + post("/next", b"n"))
        assert json.loads(wire.read_reply().body)["path"] == "/next"


# --- heads ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 17_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * 17_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: 0123456789\r\n" * 1_200 + b"\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * 17_000,
        b"GET /?" + b"a" * 200_000,
    ],
    ids=["line", "one header", "many headers", "unfinished header", "unfinished line"],
)
def test_request_line_and_headers_above_the_bound_are_answered_431(
    port: int, echo: Echo, head: bytes
) -> None:
    reply = exchange(port, head)
    assert reply.status == 431
    assert error_of(reply.body)
    assert echo.began == []


def test_a_large_head_in_pieces_is_refused_before_it_is_whole(port: int) -> None:
    with Wire(port) as wire:
        wire.send(b"GET / HTTP/1.1\r\nHost: x\r\nCookie: ")
        for _ in range(17):
            wire.send(b"a" * 1_000)
        assert wire.read_reply().status == 431


def test_a_head_at_the_bound_is_served(port: int) -> None:
    head = b"GET /x HTTP/1.1\r\nHost: x\r\nCookie: "
    assert exchange(port, head + b"a" * (16_300 - len(head)) + b"\r\n\r\n").status == 200


def test_many_small_requests_in_one_piece_are_no_large_head(port: int) -> None:
    request = b"GET /x HTTP/1.1\r\nHost: x\r\nCookie: " + b"a" * 2_000 + b"\r\n\r\n"
    with Wire(port) as wire:
        wire.send(request * 20 + request[:1_000])
        for _ in range(20):
            assert wire.read_reply().status == 200
        wire.send(request[1_000:])
        assert wire.read_reply().status == 200


# --- what is no HTTP -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"HELLO\r\n\r\n",
        b"GET /x HTTP/9.9\r\n\r\n",
        b"GET /x HTTP/1.1\r\nHost x\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: ten\r\n\r\n",
        b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"CONNECT example.com:443 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET x HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_what_is_no_http_is_answered_400_in_json(port: int, sent: bytes) -> None:
    reply = exchange(port, sent)
    assert reply.status == 400
    assert reply.header("content-type") == "application/json"
    assert error_of(reply.body)


def test_a_refusal_waits_for_the_answers_of_earlier_requests(port: int) -> None:
    with Wire(port) as wire:
        wire.send(post("/slow", b"one") + b"no http\r\n\r\n")
        exchange(port, post("/release", b""))
        assert json.loads(wire.read_reply().body)["body"] == "one"
        assert wire.read_reply().status == 400
        assert wire.read_to_end() == b""


def test_a_broken_body_behind_a_waiting_request_is_refused_in_its_turn(
    port: int, echo: Echo
) -> None:
    broken = b"POST /broken HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
    with Wire(port) as wire:
        wire.send(post("/slow", b"one") + broken)
        exchange(port, post("/release", b""))
        assert wire.read_reply().status == 200
        assert wire.read_reply().status == 400
    assert "/broken" not in echo.began


def test_one_connection_too_many_is_answered_503(echo: Echo) -> None:
    with serve(echo, connections_max=2, linger_ms=200) as port, contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(Wire(port)) for _ in range(2))
        first.send(post("/x", b"1"))
        second.send(post("/x", b"2"))
        assert first.read_reply().status == second.read_reply().status == 200
        third = stack.enter_context(Wire(port))
        reply = third.read_reply()
        assert reply.status == 503
        assert error_of(reply.body)


# --- upgrades ------------------------------------------------------------------------------------


JAVA_HEADERS = (
    "Connection: Upgrade, HTTP2-Settings",
    "HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA",
    "Upgrade: h2c",
    "User-Agent: Java-http-client/21.0.4",
)


@pytest.mark.parametrize(
    "headers",
    [
        JAVA_HEADERS,
        ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"),
        ("connection: keep-alive, UPGRADE", "UPGRADE: anything"),
        ("Upgrade: h2c",),
    ],
)
def test_an_upgrade_header_is_ignored_and_the_body_read(
    port: int, headers: tuple[str, ...]
) -> None:
    with Wire(port) as wire:
        for number in range(2):
            wire.send(post("/java", b'{"number":%d}' % number, *headers))
            reply = wire.read_reply()
            assert reply.status == 200
            content = json.loads(reply.body)
            assert content["body"] == f'{{"number":{number}}}'
            assert content["path"] == "/java"


def test_an_upgrade_keeps_the_other_headers(port: int) -> None:
    content = json.loads(
        exchange(port, post("/java", b"x", *JAVA_HEADERS, "Authorization: Bearer abc")).body
    )
    assert content["headers"]["authorization"] == "Bearer abc"
    assert content["headers"]["user-agent"].startswith("Java")


@pytest.mark.parametrize("piece", [1, 40, 200])
def test_an_upgrade_in_pieces_is_read_like_any_request(port: int, piece: int) -> None:
    whole = post("/java", b"a body in pieces", *JAVA_HEADERS)
    with Wire(port) as wire:
        for start in range(0, len(whole), piece):
            wire.send(whole[start : start + piece])
        assert json.loads(wire.read_reply().body)["body"] == "a body in pieces"


def test_upgrades_among_pipelined_requests_are_answered_in_order(port: int) -> None:
    requests = [post("/a", b"1"), post("/b", b"22", *JAVA_HEADERS), post("/c", b"333")]
    requests.append(post("/d", b"4444", *JAVA_HEADERS))
    with Wire(port) as wire:
        wire.send(b"".join(requests))
        bodies = [json.loads(wire.read_reply().body)["body"] for _ in requests]
    assert bodies == ["1", "22", "333", "4444"]


def test_an_upgrade_without_a_body_is_served(port: int) -> None:
    lines = ["GET /java HTTP/1.1", "Host: x", *JAVA_HEADERS, "", ""]
    assert exchange(port, "\r\n".join(lines).encode()).status == 200


def test_a_chunked_body_behind_an_upgrade_is_read(port: int) -> None:
    lines = ["POST /java HTTP/1.1", "Host: x", "Transfer-Encoding: chunked", *JAVA_HEADERS, "", ""]
    head = "\r\n".join(lines).encode()
    content = json.loads(exchange(port, head + b"5\r\nhello\r\n0\r\n\r\n").body)
    assert content["body"] == "hello"


# --- bodies and connections ----------------------------------------------------------------------


def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    with Wire(port) as wire:
        wire.send(b"".join(post(f"/{number}", b"x") for number in range(30)))
        paths = [json.loads(wire.read_reply().body)["path"] for _ in range(30)]
    assert paths == [f"/{number}" for number in range(30)]


@pytest.mark.parametrize("size", [65_537, 300_000, 2_097_152])
def test_the_sender_of_a_body_that_is_too_large_sees_the_answer(port: int, size: int) -> None:
    with Wire(port) as wire:
        wire.send(post("/x", b"a" * size))
        assert wire.read_reply().status == 413
        assert wire.read_to_end() == b""


def test_a_chunked_body_that_grows_too_large_is_answered_413(port: int) -> None:
    chunk = b"10000\r\n" + b"a" * 65_536 + b"\r\n"
    with Wire(port) as wire:
        wire.send(b"POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        wire.send(chunk * 3 + b"0\r\n\r\n")
        assert wire.read_reply().status == 413


def test_a_body_at_the_bound_is_read(port: int) -> None:
    reply = exchange(port, post("/x", b"a" * BODY_BYTES_MAX))
    assert len(json.loads(reply.body)["body"]) == BODY_BYTES_MAX


def test_a_caller_who_waits_for_100_continue_is_told_to_go_on(port: int) -> None:
    with Wire(port) as wire:
        wire.send(
            b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert wire._socket.recv(100).startswith(b"HTTP/1.1 100 Continue")
        wire.send(b"ok")
        assert json.loads(wire.read_reply().body)["body"] == "ok"


def test_a_request_of_unknown_outcome_ends_its_connection_without_an_answer(port: int) -> None:
    with Wire(port) as wire:
        wire.send(post("/unknown", b"x"))
        with contextlib.suppress(ConnectionResetError):
            assert wire.read_to_end() == b""


def test_a_caller_who_leaves_early_harms_nobody(port: int) -> None:
    for _ in range(3):
        with Wire(port) as wire:
            wire.send(b"POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n123")
            wire._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    assert exchange(port, post("/x", b"still here")).status == 200


def test_no_header_of_any_answer_has_a_quote(port: int) -> None:
    requests = [
        post("/x", b"1"),
        b"no http\r\n\r\n",
        b"GET /" + b"a" * 20_000,
        post("/x", b"a" * 70_000),
    ]
    for request in requests:
        reply = exchange(port, request)
        for name, value in reply.headers:
            assert not set(name + value) & {"'", '"'}
