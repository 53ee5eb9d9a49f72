"""A gateway that answers what a test tells it to, over real HTTP, for how a client reads answers.

    with ScriptedGateway() as gateway:
        gateway.script("c2bPayment/singleStage/", cut(), answer("INS-10"))
        gateway.script("queryTransactionStatus/", status("Completed", "5fT0kQ2mBx7L"))
        ...                                         # a client is used at gateway.base_url
    assert [request.operation for request in gateway.requests] == [...]

Replies are used in the order in which they stand, the last one again and again. Without a script
`getSession/` gives a session to whoever has the API key, a status query finds nothing (INS-23), and
every other operation succeeds. Nothing is checked, remembered or refused besides: sessions hold for
ever, and every path is an operation that looks like one.
"""

import asyncio
import base64
import functools
import http
import json
import re
import secrets
import string
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, unquote, urlsplit

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pesalango_server.catalog import registry
from pesalango_server.catalog.model import NOT_AVAILABLE, Operation
from tests.sdk.http_stream import (
    HEAD_BYTES_MAX,
    BadMessage,
    Message,
    close,
    read_message,
    reset,
)

END_TIMEOUT_S = 10.0
_PATH = re.compile(r"/(?P<environment>[^/]+)/ipg/v2/(?P<market>[^/]+)/(?P<operation>.+)")
_FALLBACK_TEXT = "A code that no table has"


@dataclass(frozen=True)
class Request:
    """One request as it arrived.

    `environment`, `market` and `operation` are empty where the path has no such places. `operation`
    is the path of the catalog (`c2bPayment/singleStage/`), or what follows the market if the
    catalog has no such path. `headers` have names in lower case. `bearer` is the secret that was
    encrypted, empty where there is none or it was encrypted with another key. `connection` is the
    number of the TCP connection, from 1.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: dict[str, Any] | None
    bearer: str
    operation: str
    market: str
    environment: str
    connection: int

    @property
    def reference(self) -> str:
        """Its ThirdPartyConversationID, empty if it has none."""
        values = {**self.query, **(self.body or {})}
        return str(values.get("input_ThirdPartyConversationID", ""))


# --- replies -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Content:
    """Of an answer. Content-Length is written beside `headers` unless they have it."""

    status: int
    body: bytes
    headers: Mapping[str, str]


class Delivery(Enum):
    """How much of an answer the caller gets to see."""

    WHOLE = "whole"
    NOTHING = "nothing"
    HALF = "half"
    NEVER = "never"


@dataclass(frozen=True)
class Reply:
    """What becomes of a request: made by the functions below."""

    make_content: Callable[[Request], Content]
    delivery: Delivery = Delivery.WHOLE


def answer(code: str = "INS-0", *, status: int | None = None, **outputs: str | None) -> Reply:
    """An operation's answer, with the fields, HTTP status and text that the catalog has for it.

    `outputs` are wire names (`output_TransactionID="…"`) and come before all others; None leaves a
    field out. Fields with no value of their own (a beneficiary's name) are there if given. A code
    that no table has is answered with status 400.
    """

    def make_content(request: Request) -> Content:
        operation = registry.find_by_path(request.operation)
        http_status, text = _find_status_and_text(operation, code, request.method)
        values = _make_values(operation, code, text, request) | outputs
        return _make_json(
            http_status if status is None else status,
            {name: value for name, value in values.items() if value is not None},
        )

    return Reply(make_content)


def status(
    query_status: str, transaction_id: str = NOT_AVAILABLE, *, is_reversed: bool = False
) -> Reply:
    """The answer to a status query: where the payment stands, and its TransactionID."""
    return answer(
        output_ResponseTransactionStatus=query_status,
        output_OriginalTransactionID=transaction_id,
        output_Reversed=str(is_reversed),
    )


def error(status: int, text: str, headers: Mapping[str, str] | None = None) -> Reply:
    """An answer where no operation was reached: `{"output_error": text}`."""
    return Reply(lambda _: _make_json(status, {"output_error": text}, headers))


def raw(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> Reply:
    """Any bytes; Content-Length is theirs unless `headers` say otherwise."""
    return Reply(lambda _: Content(status, body, headers or {}))


def cut() -> Reply:
    """The connection is closed once the request was read: no byte of an answer."""
    return Reply(answer().make_content, Delivery.NOTHING)


def cut_midway(of: Reply | None = None) -> Reply:
    """The head and half of the body of an answer, then the connection is reset."""
    return Reply((of or answer()).make_content, Delivery.HALF)


def silence() -> Reply:
    """No answer, and the connection stays until the caller or the gateway closes it."""
    return Reply(answer().make_content, Delivery.NEVER)


def make_transaction_id() -> str:
    """Twelve letters and digits, as the gateway's are."""
    return "".join(secrets.choice(string.ascii_letters + string.digits) for _ in range(12))


def _find_status_and_text(operation: Operation | None, code: str, method: str) -> tuple[int, str]:
    if operation is not None:
        try:
            return registry.answer(operation, code)
        except KeyError:
            return 400, _FALLBACK_TEXT
    success = 200 if method == "GET" else 201
    return (success, "Request processed successfully") if code == "INS-0" else (400, _FALLBACK_TEXT)


def _make_values(
    operation: Operation | None, code: str, text: str, request: Request
) -> dict[str, str | None]:
    """Fields of the answer that have a value of their own, in the order of the catalog."""
    operation = operation or registry.find("c2b_single_stage")
    is_success = code == operation.success.code
    values = {
        "output_ResponseCode": code,
        "output_ResponseDesc": text,
        "output_ConversationID": secrets.token_hex(16),
        "output_ThirdPartyConversationID": request.reference,
        "output_error": text,
        "output_TransactionID": make_transaction_id() if is_success else NOT_AVAILABLE,
        "output_OriginalTransactionID": NOT_AVAILABLE,
        "output_SessionID": secrets.token_hex(16),
    }
    names = operation.answer.refusal
    if is_success:
        names = tuple(field.wire_name for field in operation.answer.fields)
    return {name: values[name] for name in names if name in values}


def _make_json(status: int, values: Any, headers: Mapping[str, str] | None = None) -> Content:
    body = json.dumps(values).encode()
    return Content(status, body, {"Content-Type": "application/json", **(headers or {})})


def _write(content: Content) -> tuple[bytes, bytes]:
    """Head and body."""
    headers = dict(content.headers)
    if "content-length" not in {name.lower() for name in headers}:
        headers["Content-Length"] = str(len(content.body))
    try:
        phrase = http.HTTPStatus(content.status).phrase
    except ValueError:
        phrase = "Unknown"
    lines = [f"HTTP/1.1 {content.status} {phrase}", *(f"{k}: {v}" for k, v in headers.items())]
    return "\r\n".join([*lines, "", ""]).encode("latin-1"), content.body


# --- the gateway ---------------------------------------------------------------------------------


@functools.cache
def make_platform_key() -> rsa.RSAPrivateKey:
    """One for the whole process, since making one takes long."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class Hold:
    """Requests of one operation wait while it is entered, or until `release`.

    `arrived` is set once the first of them waits.
    """

    def __init__(self, gateway: "ScriptedGateway", operation: str) -> None:
        self.arrived = threading.Event()
        self._gateway = gateway
        self._operation = operation
        self._released = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let those go that wait, and hold no more of them."""
        self._gateway._release(self._operation, self, self._released)

    async def _wait(self) -> None:
        self.arrived.set()
        await self._released.wait()


class ScriptedGateway:
    """A server on 127.0.0.1 in a thread of its own; its methods may be called from any thread.

    `requests` are in the order of their arrival. Leaving it closes every connection; it raises
    `AssertionError` if a caller sent what is no request, or a reply could not be made.
    """

    def __init__(self) -> None:
        key = make_platform_key()
        der = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.public_key = base64.b64encode(der).decode()
        self.api_key = secrets.token_hex(16)
        self.base_url = ""
        self.requests: list[Request] = []
        self._key = key
        self._scripts: dict[str, list[Reply]] = {}
        self._holds: dict[str, Hold] = {}
        self._lock = threading.Lock()
        self._connections = 0
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._faults: list[Exception] = []
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stopped = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="scripted gateway", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(END_TIMEOUT_S), "the scripted gateway did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopped.set)
        self._thread.join(END_TIMEOUT_S)
        assert not self._thread.is_alive(), "the scripted gateway goes on"
        self._loop.close()
        if error is None:
            assert not self._faults, self._faults

    def script(self, operation: str, *replies: Reply) -> None:
        """What the next requests of an operation get, in order; in place of what was left."""
        assert replies, "a script has at least one reply"
        with self._lock:
            self._scripts[_name_operation(operation)] = list(replies)

    def hold(self, operation: str) -> Hold:
        """Have the operation's requests wait from now on; they are in `requests` meanwhile."""
        name = _name_operation(operation)
        with self._lock:
            held = self._holds[name] = Hold(self, name)
        return held

    def _release(self, operation: str, held: Hold, released: asyncio.Event) -> None:
        with self._lock:
            if self._holds.get(operation) is held:
                del self._holds[operation]
        # After the gateway's end there is nobody left who waits.
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(released.set)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
        self.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self._started.set()
        await self._stopped.wait()
        server.close()
        for task, writer in self._open.items():
            task.cancel()
            writer.transport.abort()
        await asyncio.gather(*self._open, return_exceptions=True)
        await server.wait_closed()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        task = self._loop.create_task(self._serve_connection(self._connections, reader, writer))
        self._open[task] = writer
        task.add_done_callback(self._open.pop)

    async def _serve_connection(
        self, connection: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            while message := await read_message(reader):
                request = self._read_request(connection, message)
                reply, held = self._take_reply(request)
                if held is not None:
                    await held._wait()
                is_over = await self._deliver(reply, request, reader, writer)
                if is_over or message.is_last:
                    return
        except (OSError, EOFError):
            pass  # The caller has gone, which is for it to decide.
        except Exception as fault:  # noqa: BLE001 - told to the test at the gateway's end
            self._faults.append(fault)
        finally:
            await close(writer)

    def _read_request(self, connection: int, message: Message) -> Request:
        method, target = message.split_request_line()
        place = urlsplit(target)
        path = unquote(place.path)
        found = _PATH.fullmatch(path)
        body = json.loads(message.body) if message.body else None
        if body is not None and not isinstance(body, dict):
            raise BadMessage(f"not a JSON object: {message.body!r}")
        return Request(
            method=method,
            path=path,
            query=dict(parse_qsl(place.query, keep_blank_values=True)),
            headers=message.headers,
            body=body,
            bearer=self._decrypt_bearer(message.headers.get("authorization", "")),
            operation=_name_operation(found["operation"]) if found else "",
            market=found["market"] if found else "",
            environment=found["environment"] if found else "",
            connection=connection,
        )

    def _decrypt_bearer(self, authorization: str) -> str:
        scheme, _, bearer = authorization.partition(" ")
        if scheme != "Bearer":
            return ""
        try:
            secret = self._key.decrypt(base64.b64decode(bearer, validate=True), padding.PKCS1v15())
            return secret.decode("ascii")
        except ValueError:
            # With another key's padding some libraries give noise, which is hardly ever ASCII.
            return ""

    def _take_reply(self, request: Request) -> tuple[Reply, Hold | None]:
        with self._lock:
            self.requests.append(request)
            held = self._holds.get(request.operation)
            replies = self._scripts.get(request.operation)
            if replies is not None:
                return (replies.pop(0) if len(replies) > 1 else replies[0]), held
        return self._reply_unscripted(request), held

    def _reply_unscripted(self, request: Request) -> Reply:
        match request.operation:
            case "":
                return error(404, "No such path")
            case "getSession/":
                return answer("INS-0" if request.bearer == self.api_key else "INS-989")
            case "queryTransactionStatus/":
                return answer("INS-23")
            case "updateTransactionStatus/":
                return answer("INS-GAR-0")
        return answer()

    async def _deliver(
        self,
        reply: Reply,
        request: Request,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> bool:
        """Whether the connection is over then."""
        content = reply.make_content(request)
        head, body = _write(content)
        match reply.delivery:
            case Delivery.NOTHING:
                return True
            case Delivery.NEVER:
                await reader.read()
                return True
            case Delivery.HALF:
                writer.write(head + body[: len(body) // 2])
                await writer.drain()
                reset(writer)
                return True
            case Delivery.WHOLE:
                writer.write(head + body)
                await writer.drain()
        return {k.lower(): v.lower() for k, v in content.headers.items()}.get(
            "connection"
        ) == "close"


def _name_operation(path: str) -> str:
    """As the catalog spells it, else with one slash behind it."""
    known = registry.find_by_path(path)
    return known.path if known is not None else f"{path.rstrip('/')}/"
