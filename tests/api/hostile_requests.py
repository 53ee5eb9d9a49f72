"""Requests of every kind by the hundred thousand: good ones, damaged ones, and plain noise.

The bytes are drawn from one seed, so that the same traffic can be had again. What each answer may
be is the catalog's word: `Expectation.judge` says whether it is.
"""

import json
import random
from collections import Counter, deque
from collections.abc import Callable
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from pesalango_server.catalog.model import Operation
from pesalango_server.catalog.registry import answerable_codes, find
from pesalango_server.gateway.operations import ROUTED
from tests.api.market_sessions import Place
from tests.unit.http_server import Reply

ORGANISATIONS = ("000000", "000001", "ORG001", "ORG002", "112244")
CUSTOMERS = ("000000000001", "254707161122", "255744553111", "233508729395")
TRANSPORT = frozenset({400, 401, 404, 405, 408, 413, 429, 431})
"""Statuses of answers that name no code."""

REVERSALS_OF_ONE = 50
REMEMBERED = 2_000

OPERATIONS = {name: find(name) for name in ROUTED}
WEIGHTS = {
    "c2b_single_stage": 36,
    "b2c_payment": 20,
    "b2b_payment": 14,
    "reversal": 12,
    "query_transaction_status": 16,
    # Each costs a decryption and makes a session.
    "get_session": 2,
}
_NAMES, _SHARES = tuple(WEIGHTS), tuple(WEIGHTS.values())
ALLOWED = {
    name: frozenset((row.http_status, row.code) for row in answerable_codes(operation))
    for name, operation in OPERATIONS.items()
}
ALLOWED_ANYWHERE = frozenset().union(*ALLOWED.values())

NASTY: tuple[Any, ...] = (
    None, "", " ", "\x00", "a\x00b", "10\n", "\n10", "' OR 1=1 --", "<script>", "é", "１０", "١٢",
    "\U0001f600", "\u202e", "x" * 300, "x" * 4_000, "0" * 20, "9" * 14, "-1", "+1", "NaN", "1e3",
    "0x10", "%00", "../../etc/passwd", "{{7*7}}", "ORG001\r\nX: y", "1.005", "0.00", ".5", "10.",
    0, -0.0, 1e308, 10**40, -1, 1.5, True, False, [], {}, ["10"], {"a": {"b": ["c"]}},
    "000000000002", "000000000005", "000000000009", "000007", "0000000000007", "http://127.0.0.1/",
    "http://169.254.169.254/", "javascript:x", "N/A", "null", "undefined", "tzn", "TZS", "usd",
)  # fmt: skip
SPECIAL_BYTES = b"\r\n\x00 :;,\"'{}[]%&=\\/\xff\xc3\x80"
DEEP = "[" * 5_000
BODIES = (
    b"", b"{", b"}", b"null", b"[]", b'"text"', b"1", b"{}", b"\xff\xfe", b"\xef\xbb\xbf{}",
    b'{"input_Amount":', b'{"input_Amount":NaN}', b'{"a":"\\ud800"}', DEEP.encode(),
    (b'{"a":' * 40) + b"1" + b"}" * 40, b"input_Amount=1&input_Amount=2", b"%", b"&&&&", b"a" * 3000,
)  # fmt: skip
STRANGE_PATHS = (
    "/", "//", "/%00", "/sandbox", "/sandbox/ipg/v2/", "/sandbox/ipg/v3/vodacomTZN/getSession/",
    "/sandbox/ipg/v2/vodacomTZN/getSession/../../admin", "/%2e%2e/%2e%2e/etc/passwd",
    "/openapi/ipg/v2/VODACOMTZN/c2bPayment/singleStage/extra", "/administration",
    "/sandbox/ipg/v2/vodacomTZN/" + "a" * 3_000, "/sandbox/ipg/v2/%F0%9F%98%80/b2cPayment/",
    "http://elsewhere.example/sandbox/ipg/v2/vodacomTZN/b2bPayment/", "/?x", "/sandbox/ipg/v2/'\"",
)  # fmt: skip


class Expectation(msgspec.Struct, frozen=True):
    """What may be answered. `wanted` is the one status and code, where only one is right."""

    operation: str | None
    wanted: tuple[int, str] | None = None
    identifier: str = ""

    def judge(self, reply: Reply) -> str:
        """What is wrong with an answer; empty for nothing."""
        try:
            content = json.loads(reply.body)
        except ValueError:
            return "no JSON"
        if not isinstance(content, dict) or not all(isinstance(v, str) for v in content.values()):
            return "no object of texts"
        if reply.header("content-type") != "application/json":
            return "another content type"
        if any("'" in text or '"' in text for header in reply.headers for text in header):
            return "a quotation mark in a header"
        code = content.get("output_ResponseCode")
        if self.wanted is not None and (reply.status, code) != self.wanted:
            return f"not {self.wanted}"
        if code is None:
            if list(content) != ["output_error"] or reply.status not in TRANSPORT:
                return "an error that there is not"
            return ""
        allowed = ALLOWED_ANYWHERE if self.operation is None else ALLOWED[self.operation]
        if (reply.status, code) not in allowed:
            return "a code that the operation does not have"
        if self.operation is not None and not _has_its_fields(self.operation, code, content):
            return "other fields than documented"
        if self.identifier and content.get("output_ThirdPartyConversationID") != self.identifier:
            return "the answer to another request"
        return ""


def _has_its_fields(name: str, code: str, content: dict[str, str]) -> bool:
    answer = OPERATIONS[name].answer
    if code == OPERATIONS[name].success.code:
        return list(content) == [field.wire_name for field in answer.fields]
    return list(content) == list(answer.refusal)


class Sent(msgspec.Struct, frozen=True):
    """A request, what may come back, and whether it may end its connection."""

    kind: str
    data: bytes
    expectation: Expectation
    ends: bool = False
    remember: Callable[[dict[str, str]], None] | None = None
    """Called with the answer's content, where that is a success."""


class Draft(msgspec.Struct):
    """A request that is being made."""

    place: Place
    operation: Operation
    method: str
    path: str
    headers: dict[str, str]
    values: dict[str, Any]
    body: bytes | None = None
    """None: the values, written as they should be."""


def _make_draft(place: Place, name: str, values: dict[str, Any]) -> Draft:
    operation = OPERATIONS[name]
    bearer = place.make_first_bearer() if name == "get_session" else place.bearer
    return Draft(
        place=place,
        operation=operation,
        method=operation.method,
        path=f"/{place.environment}/ipg/v2/{place.market}/{operation.path}",
        headers={"Host": "gateway", "Authorization": bearer, "Origin": "*"},
        values=values,
    )


class _Original(msgspec.Struct):
    transaction_id: str
    organisation: str
    left: int = REVERSALS_OF_ONE


class _Memory:
    """What later requests of one place may speak of."""

    def __init__(self) -> None:
        self.originals: deque[_Original] = deque(maxlen=REMEMBERED)
        # Of which a damaged request may reverse more than it was to.
        self.victims: deque[_Original] = deque(maxlen=REMEMBERED)
        self.references: deque[tuple[str, str]] = deque(maxlen=REMEMBERED)
        self.repeatable: deque[tuple[str, dict[str, Any]]] = deque(maxlen=REMEMBERED)


class Traffic:
    """Draws requests to all operations in all of these places."""

    def __init__(self, places: list[Place], *, seed: int) -> None:
        self._random = random.Random(seed)
        self._places = places
        self._memories = {(place.environment, place.market): _Memory() for place in places}
        self._numbers = 0
        self.drawn: Counter[str] = Counter()
        kinds: dict[Callable[[], Sent], int] = {
            self._draw_good: 40,
            self._draw_repeated: 4,
            self._draw_damaged_values: 28,
            self._draw_damaged_body: 17,
            self._draw_strange_head: 10,
            self._draw_too_large: 1,
        }
        self._makers, self._shares = tuple(kinds), tuple(kinds.values())

    def draw(self) -> Sent:
        """The next request that keeps to HTTP, whatever it holds."""
        (make,) = self._random.choices(self._makers, self._shares)
        sent = make()
        self.drawn[sent.kind] += 1
        return sent

    def draw_shattered(self) -> Sent:
        """A request whose bytes are damaged anywhere, and another one after it, which is the last.

        How many answers there are, nobody can say.
        """
        self.drawn["shattered"] += 1
        data = self._write(self._draft())
        last = b"GET /the/end HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        return Sent("shattered", self._damage(data) + last, Expectation(None), ends=True)

    def draw_share(self) -> float:
        """From 0 to 1; for whoever sends."""
        return self._random.random()

    # --- good ones -------------------------------------------------------------------------------

    def _draft(self, *, is_good: bool = False) -> Draft:
        place = self._random.choice(self._places)
        memory = self._memories[place.environment, place.market]
        originals = memory.originals if is_good else memory.victims
        (name,) = self._random.choices(_NAMES, _SHARES)
        if (name == "reversal" and not originals) or (
            name == "query_transaction_status" and not memory.references
        ):
            name = "c2b_single_stage"
        return _make_draft(place, name, self._draw_values(name, place, memory, originals))

    def _draw_values(
        self, name: str, place: Place, memory: _Memory, originals: deque[_Original]
    ) -> dict[str, Any]:
        pick = self._random.choice
        self._numbers += 1
        values: dict[str, Any] = {
            "input_Country": place.country,
            "input_ThirdPartyConversationID": f"hostile{self._numbers}",
        }
        if name == "get_session":
            return {}
        if name == "reversal":
            original = originals[-1]
            original.left -= 1
            if not original.left:
                originals.pop()
            return values | {
                "input_TransactionID": original.transaction_id,
                "input_ServiceProviderCode": original.organisation,
                "input_ReversalAmount": "0.01",
            }
        if name == "query_transaction_status":
            reference, organisation = pick(memory.references)
            return values | {
                "input_QueryReference": reference,
                "input_ServiceProviderCode": organisation,
            }
        values |= {
            "input_Amount": pick(("1", "1.00", "1.0", "01")),
            "input_Currency": place.currency,
            "input_TransactionReference": "T 1",
        }
        if name == "b2b_payment":
            first, second = self._random.sample(ORGANISATIONS, 2)
            return values | {
                "input_PrimaryPartyCode": first,
                "input_ReceiverPartyCode": second,
                "input_PurchasedItemsDesc": "Two bags of rice",
            }
        items = "PaymentItemsDesc" if name == "b2c_payment" else "PurchasedItemsDesc"
        return values | {
            "input_CustomerMSISDN": pick(CUSTOMERS),
            "input_ServiceProviderCode": pick(ORGANISATIONS),
            f"input_{items}": "Two bags of rice",
        }

    def _draw_good(self) -> Sent:
        draft = self._draft(is_good=True)
        success = draft.operation.success
        identifier = draft.values.get("input_ThirdPartyConversationID", "")
        return Sent(
            "good",
            self._write(draft),
            Expectation(draft.operation.name, (success.http_status, success.code), identifier),
            remember=lambda content: self._remember(draft, content),
        )

    def _remember(self, draft: Draft, content: dict[str, str]) -> None:
        name, values = draft.operation.name, draft.values
        memory = self._memories[draft.place.environment, draft.place.market]
        transaction_id = content.get("output_TransactionID")
        if transaction_id is None:
            return
        memory.repeatable.append((name, values))
        organisation = values.get("input_ServiceProviderCode") or values["input_PrimaryPartyCode"]
        for reference in (
            transaction_id,
            content["output_ConversationID"],
            values["input_ThirdPartyConversationID"],
        ):
            memory.references.append((reference, organisation))
        if name in {"c2b_single_stage", "b2c_payment"}:
            pool = memory.victims if self._random.random() < 0.3 else memory.originals
            pool.append(_Original(transaction_id, organisation))

    def _draw_repeated(self) -> Sent:
        place = self._random.choice(self._places)
        memory = self._memories[place.environment, place.market]
        if not memory.repeatable:
            return self._draw_good()
        name, values = self._random.choice(memory.repeatable)
        draft = _make_draft(place, name, values)
        identifier = values["input_ThirdPartyConversationID"]
        return Sent("repeated", self._write(draft), Expectation(name, (409, "INS-10"), identifier))

    # --- damaged ones ----------------------------------------------------------------------------

    def _draw_damaged_values(self) -> Sent:
        draft = self._draft()
        pick = self._random.choice
        values = draft.values
        names = [*values, "input_ResponseURL", "input_Amount", "no_such"]
        for name in self._random.sample(names, self._random.randint(1, min(3, len(names)))):
            values[name] = pick(NASTY)
        if self._random.random() < 0.1:
            draft.body = self._write_with_repeated_key(values)
        return Sent("damaged values", self._write(draft), Expectation(draft.operation.name))

    def _write_with_repeated_key(self, values: dict[str, Any]) -> bytes:
        name = self._random.choice([*values, "x"])
        members = [*values.items(), (name, self._random.choice(NASTY))]
        self._random.shuffle(members)
        return f"{{{','.join(f'{json.dumps(n)}:{json.dumps(v)}' for n, v in members)}}}".encode()

    def _draw_damaged_body(self) -> Sent:
        draft = self._draft()
        if self._random.random() < 0.3:
            draft.body = self._random.choice(BODIES)
        else:
            draft.body = self._damage(json.dumps(draft.values).encode())
        return Sent("damaged body", self._write(draft), Expectation(draft.operation.name))

    def _damage(self, data: bytes) -> bytes:
        rng = self._random
        content = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            if not content:
                break
            place = rng.randrange(len(content))
            byte = rng.choice(SPECIAL_BYTES) if rng.random() < 0.5 else rng.randrange(256)
            match rng.randrange(5):
                case 0:
                    content[place] = byte
                case 1:
                    content.insert(place, byte)
                case 2:
                    del content[place]
                case 3:
                    del content[place : place + rng.randrange(40)]
                case _:
                    content[place:place] = content[place : place + 60]
        return bytes(content)

    # --- strange heads ---------------------------------------------------------------------------

    def _draw_strange_head(self) -> Sent:
        draft = self._draft()
        pick, name = self._random.choice, draft.operation.name
        headers = draft.headers
        operation: str | None = name
        fault = self._random.randrange(9)
        match fault:
            case 0:
                draft.method = pick(("DELETE", "PATCH", "OPTIONS", "GET", "POST", "PUT", "TRACE"))
            case 1:
                draft.path = pick(STRANGE_PATHS)
                operation = None
            case 2:
                market = pick(("vodacomXYZ", "", "%00", "vodacomtzn", "a" * 500))
                draft.path = draft.path.replace(draft.place.market, market)
            case 3:
                headers["Authorization"] = self._spoil(headers["Authorization"])
            case 4:
                del headers[pick(("Authorization", "Origin"))]
            case 5:
                headers["Origin"] = pick(
                    ("", "null", "*, *", "http://" + "o" * 2_000, "\xff", "'\"")
                )
            case 6:
                headers |= {"Upgrade": "websocket", "Connection": "Upgrade"}
            case 7:
                headers["Content-Type"] = pick(
                    ("text/xml", "", "\x80", "multipart/form-data", "x" * 900)
                )
            case _:
                headers |= {f"X-{'a' * 20}-{n}": "b" * 100 for n in range(20)}
        # What the parser cannot read ends its connection.
        may_end = fault in {1, 2, 5, 7}
        return Sent("strange head", self._write(draft), Expectation(operation), ends=may_end)

    def _spoil(self, bearer: str) -> str:
        rng = self._random
        match rng.randrange(6):
            case 0:
                return bearer.replace("Bearer ", rng.choice(("", "Basic ", "bearer  ", "BEARER\t")))
            case 1:
                return bearer[: rng.randrange(len(bearer))]
            case 2:
                return bearer + rng.choice(("=", "A", " ", "\x80"))
            case 3:
                # Of the right length and alphabet: it is decrypted.
                place = rng.randrange(7, len(bearer) - 4)
                return (
                    f"{bearer[:place]}{'B' if bearer[place] == 'A' else 'A'}{bearer[place + 1 :]}"
                )
            case 4:
                return "Bearer " + quote(bearer[7:])
            case _:
                return "Bearer " + "".join(rng.choices("AZaz09+/=", k=rng.randrange(700)))

    def _draw_too_large(self) -> Sent:
        draft = self._draft()
        if self._random.random() < 0.5:
            draft.body = json.dumps({**draft.values, "x": "y" * 70_000}).encode()
        else:
            draft.headers["X-Large"] = "z" * 17_000
        return Sent("too large", self._write(draft), Expectation(draft.operation.name), ends=True)

    # --- writing ---------------------------------------------------------------------------------

    def _write(self, draft: Draft) -> bytes:
        path, body = draft.path, draft.body
        share = self._random.random()
        if share < 0.1:
            path = path.removesuffix("/")
        are_texts = all(isinstance(value, str) for value in draft.values.values())
        if body is None and draft.method == "GET" and are_texts and share < 0.7:
            path, body = f"{path}?{urlencode(draft.values)}", b""
        if body is None:
            body = (
                json.dumps(draft.values, ensure_ascii=share < 0.5).encode() if draft.values else b""
            )
        lines = [f"{draft.method} {path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in draft.headers.items()]
        if body and 0.8 < share < 0.9:
            lines += ["Transfer-Encoding: chunked", "", ""]
            cut = self._random.randrange(len(body) + 1)
            body = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[:cut], body[cut:]) if p)
            body += b"0\r\n\r\n"
        else:
            lines += [f"Content-Length: {len(body)}", "", ""]
        return "\r\n".join(lines).encode("latin-1") + body
