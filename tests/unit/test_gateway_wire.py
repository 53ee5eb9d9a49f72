"""From bytes to the texts that the validators take."""

import json
from typing import Any
from urllib.parse import quote, urlencode

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pesalango_server.catalog.validation import NESTED
from pesalango_server.gateway.wire import (
    DEPTH_MAX,
    echo_third_party_conversation_id,
    read_body,
    read_query_and_body,
    read_unusual_body,
)


@pytest.mark.parametrize(
    ("body", "values"),
    [
        (b"", {}),
        (b"{}", {}),
        (b' {"a" : "1"}\r\n', {"a": "1"}),
        (b'{"a":" x "}', {"a": " x "}),
        (b'{"a":null,"b":""}', {"a": None, "b": ""}),
        (b'{"a":10,"b":10.0,"c":-0,"d":1e5,"e":0.10}', dict(zip("abcde", ["10", "10.0", "-0", "1e5", "0.10"], strict=True))),
        (b'{"a":true,"b":false}', {"a": "True", "b": "False"}),
        (b'{"a":"1","a":"2"}', {"a": "2"}),
        (b'{"a":{"b":1},"a":"2"}', {"a": "2"}),
        (b'{"A":"1","a":"2"}', {"A": "1", "a": "2"}),
        (b'{"a":"\\u0000"}', {"a": "\x00"}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        ('{"a":"é"}'.encode(), {"a": "é"}),
        (b'{"a":' + b"9" * 10_000 + b"}", {"a": "9" * 10_000}),
    ],
)  # fmt: skip
def test_a_body_is_read(body: bytes, values: dict[str, Any]) -> None:
    assert read_body(body) == values


@pytest.mark.parametrize("nested", ["[]", "{}", '["x"]', '{"b":1}'])
def test_a_nested_value_is_seen_as_such(nested: str) -> None:
    values = read_body(f'{{"a":{nested},"b":"x"}}'.encode())
    assert values is not None
    assert values["a"] is NESTED
    assert values["b"] == "x"


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b'"text"',
        b"10",
        b"null",
        b"true",
        b"   ",
        b"{",
        b'{"a":"1"',
        b'{"a":"1",}',
        b'{"a":"1"} {}',
        b"{'a':'1'}",
        b'{a:"1"}',
        b'{"a":01}',
        b'{"a":+1}',
        b'{"a":.5}',
        b'{"a":1.}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":undefined}',
        b'{"a":"\x00"}',
        b'{"a":"\n"}',
        b'{"a":"\xff"}',
        b'{"a":"\xc0\x80"}',
        b'{"a":"\xed\xa0\x80"}',
        b'\xef\xbb\xbf{"a":"1"}',
        '{"a":"1"}'.encode("utf-16"),
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00x"}',
        b'{"\\ud800":"1"}',
        b'{"a":[{"b":"\\ud800"}]}',
        b'{"a":"\\x"}',
        b"<xml/>",
        b"/* c */ {}",
        b"[" * 60_000,
        b'{"a":' * 10_000,
    ],
)
def test_what_is_no_json_object_cannot_be_read(body: bytes) -> None:
    assert read_body(body) is None


def nest(depth: int) -> bytes:
    """An object with so many levels, itself counted."""
    return b'{"a":' + b"[" * (depth - 1) + b"1" + b"]" * (depth - 1) + b"}"


def test_nesting_is_read_up_to_a_depth_of_32_and_no_deeper() -> None:
    assert read_body(nest(DEPTH_MAX)) is not None
    assert read_body(nest(DEPTH_MAX + 1)) is None


# --- forms ---------------------------------------------------------------------------------------


def test_a_form_labelled_as_json_is_read() -> None:
    body = urlencode({"input_Amount": "10", "other": "", "input_X": "a b+c é"}).encode()
    assert read_body(body) == {"input_Amount": "10", "other": "", "input_X": "a b+c é"}


def test_the_last_of_a_forms_repeated_keys_wins() -> None:
    assert read_body(b"input_A=1&input_A=2") == {"input_A": "2"}


@pytest.mark.parametrize(
    "body",
    [
        b"a=1&b=2",
        b"Input_Amount=10",
        b'{"x&input_Amount=10',
        b"[&input_Amount=10",
        b'"&input_Amount=10',
        b"input_Amount=%ff",
        b"input_Amount=\xff",
        b"&".join(b"input_%d=1" % number for number in range(1_001)),
    ],
)
def test_what_is_no_form_of_this_api_cannot_be_read(body: bytes) -> None:
    assert read_body(body) is None


# --- GET -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "body", "values"),
    [
        (b"", b"", {}),
        (b"a=1&b=%20x+y", b"", {"a": "1", "b": " x y"}),
        (b"", b'{"a":"1"}', {"a": "1"}),
        (b"a=1", b'{"a":"2","b":"3"}', {"a": "1", "b": "3"}),
        (b"a=", b'{"a":"2"}', {"a": "2"}),
        (b"a=1&a=2", b"", {"a": "2"}),
        (b"a", b"", {}),
        (b"&&=&", b"", {}),
        (b"input_ResponseURL=http%3A%2F%2Fx", b"", {}),
        (b"input_ResponseURL=x", b'{"input_ResponseURL":"y"}', {"input_ResponseURL": "y"}),
        (b"a=1", b'{"a":{}}', {"a": "1"}),
    ],
)
def test_a_get_has_parameters_in_query_and_body(
    query: bytes, body: bytes, values: dict[str, str]
) -> None:
    read = read_query_and_body(query, body)
    assert read is not None
    assert {name: text for name, text in read.items() if text} == values


@pytest.mark.parametrize(("query", "body"), [(b"a=%ff", b""), (b"a=\xff", b""), (b"a=1", b"[]")])
def test_a_get_that_cannot_be_decoded_cannot_be_read(query: bytes, body: bytes) -> None:
    assert read_query_and_body(query, body) is None


# --- both ways through, and another reader -------------------------------------------------------

_TEXTS = st.text(max_size=8) | st.sampled_from(["input_Amount", "10", "\x00", "\ud800", "é", "\n"])
_NUMBERS = st.sampled_from(
    ["0", "-0", "10", "10.0", "1e5", "-1E-7", "123456789012345678901234567890"]
)
_JSON = st.recursive(
    _TEXTS.map(lambda text: json.dumps(text, ensure_ascii=True))
    | _NUMBERS
    | st.sampled_from(["null", "true", "false"]),
    lambda inside: (
        st.lists(inside, max_size=3).map(lambda items: f"[{','.join(items)}]")
        | st.lists(st.tuples(_TEXTS.map(json.dumps), inside), max_size=3).map(
            lambda pairs: "{" + ",".join(f"{name}:{value}" for name, value in pairs) + "}"
        )
    ),
    max_leaves=6,
)
_OBJECTS = st.lists(st.tuples(_TEXTS.map(json.dumps), _JSON), max_size=6).map(
    lambda pairs: ("{" + ",".join(f"{name}:{value}" for name, value in pairs) + "}").encode()
)


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A document with a few bytes changed, lost or put in."""
    body = bytearray(draw(_OBJECTS))
    for _ in range(draw(st.integers(0, 2))):
        place = draw(st.integers(0, len(body)))
        what = draw(st.sampled_from(["change", "lose", "put in"]))
        byte = draw(st.integers(0, 255) | st.sampled_from(list(b'{}[]",:\\ 0')))
        if what == "put in" or not body:
            body.insert(place, byte)
        elif what == "lose":
            del body[min(place, len(body) - 1)]
        else:
            body[min(place, len(body) - 1)] = byte
    return bytes(body)


def read_by_another_way(body: bytes) -> dict[str, Any] | None:
    """What the page says, written anew over Python's own reader."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        document = json.loads(
            body.decode("utf-8"),
            parse_int=lambda text: ("number", text),
            parse_float=lambda text: ("number", text),
            parse_constant=refuse,
        )
        json.dumps(document, ensure_ascii=False).encode("utf-8")
    except ValueError:
        return None
    if not isinstance(document, dict):
        return None
    texts: dict[str, Any] = {}
    for name, value in document.items():
        match value:
            case ("number", text):
                texts[name] = text
            case bool():
                texts[name] = str(value)
            case list() | dict():
                texts[name] = NESTED
            case _:
                texts[name] = value
    return texts


@given(_damaged())
@example(b'{"a":"\\ud800\\udc00"}')
@example(b'{"a":-0}')
def test_a_body_reads_the_same_by_every_way(body: bytes) -> None:
    expected = {} if not body else read_by_another_way(body)
    if expected is None and b"input_" in body:
        # It may be taken for a form, which only our own reader knows.
        assert read_body(body) == read_unusual_body(body)
        return
    assert read_body(body) == expected
    if body:
        assert read_unusual_body(body) == expected


@given(st.binary(max_size=40))
def test_no_bytes_at_all_make_the_reader_fail(body: bytes) -> None:
    assert read_body(body) is None or isinstance(read_body(body), dict)
    read_query_and_body(body, b"")


@given(st.dictionaries(_TEXTS.filter(str.isprintable), st.text(max_size=8).filter(str.isprintable)))
def test_a_form_is_the_inverse_of_encoding_one(fields: dict[str, str]) -> None:
    fields = {f"input_{name}": text for name, text in fields.items()} | {"input_": "x"}
    body = "&".join(f"{quote(name)}={quote(text)}" for name, text in fields.items()).encode()
    assert read_body(body) == fields


# --- what is shown of it -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        ({"input_ThirdPartyConversationID": "abc"}, "abc"),
        ({"input_ThirdPartyConversationID": ""}, ""),
        ({"input_ThirdPartyConversationID": None}, ""),
        ({"input_ThirdPartyConversationID": 17}, "17"),
        ({"input_ThirdPartyConversationID": "\x00,<é>"}, "\x00,<é>"),
        ({"input_ThirdPartyConversationID": {"a": "b"}}, ""),
        ({}, ""),
    ],
)
def test_a_third_party_conversation_id_is_shown_as_it_was_sent(
    body: dict[str, Any], shown: str
) -> None:
    values = read_body(msgspec.json.encode(body))
    assert values is not None
    assert echo_third_party_conversation_id(values) == shown
