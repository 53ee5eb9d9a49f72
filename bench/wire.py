"""The bytes of a request, and what the load generator reads of its answer."""

from __future__ import annotations

import re

import msgspec

from bench.load import Load

CONVERSATION_ID_LENGTH = 32
TRANSACTION_ID_LENGTH = 12
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
RESPONSE_CODE = b'"output_ResponseCode"'
TRANSACTION_ID = b'"output_TransactionID":"'
SESSION_ID = b'"output_SessionID":"'


class Form(msgspec.Struct, frozen=True, kw_only=True):
    """How an operation is asked for; `drawn` is the field whose value each request has anew."""

    method: str
    path: str
    """Below that of the market."""
    fields: tuple[str, ...]
    drawn: str


FORMS = {
    "c2b": Form(
        method="POST",
        path="c2bPayment/singleStage/",
        fields=(
            "input_Amount",
            "input_Country",
            "input_Currency",
            "input_ServiceProviderCode",
            "input_TransactionReference",
            "input_PurchasedItemsDesc",
        ),
        drawn="input_CustomerMSISDN",
    ),
    "b2c": Form(
        method="POST",
        path="b2cPayment/",
        fields=(
            "input_Amount",
            "input_Country",
            "input_Currency",
            "input_ServiceProviderCode",
            "input_TransactionReference",
            "input_PaymentItemsDesc",
        ),
        drawn="input_CustomerMSISDN",
    ),
    "reversal": Form(
        method="PUT",
        path="reversal/",
        fields=("input_ReversalAmount", "input_Country", "input_ServiceProviderCode"),
        drawn="input_TransactionID",
    ),
}
"""By the name that `Load.operation` has."""


def parse_answer(data: bytes) -> tuple[bytes, bytes] | None:
    """Status and ResponseCode (empty: none) of the one answer in `data`; None while it is not
    complete.

    Raises ValueError when the end of the answer cannot be told, or something follows it.
    """
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    found = CONTENT_LENGTH.search(data, 0, head_end)
    if found is None:
        raise ValueError("an answer without Content-Length")
    missing = head_end + 4 + int(found[1]) - len(data)
    if missing:
        if missing < 0:
            raise ValueError("more than one answer to one request")
        return None
    key = data.find(RESPONSE_CODE, head_end)
    if key < 0:
        return data[9:12], b""
    start = data.find(b'"', key + len(RESPONSE_CODE)) + 1
    return data[9:12], data[start : data.find(b'"', start)]


def build_request(load: Load) -> tuple[bytes, bytes, bytes, bytes]:
    """What stands before the bearer, between bearer and the drawn value, between that and the
    identifier, and after it. Drawn values and identifiers have one length each, hence so has the
    body.
    """
    form = FORMS[load.operation]
    values = {
        "input_Amount": load.amount,
        "input_ReversalAmount": load.amount,
        "input_Country": load.country,
        "input_Currency": load.currency,
        "input_ServiceProviderCode": load.service_provider_code,
    }
    fields = ",".join(f'"{name}":"{values.get(name, "Benchmark")}"' for name in form.fields)
    before_drawn = f'{{{fields},"{form.drawn}":"'
    before_identifier = '","input_ThirdPartyConversationID":"'
    after = '"}'
    body_length = len(before_drawn + before_identifier + after) + CONVERSATION_ID_LENGTH
    body_length += (
        TRANSACTION_ID_LENGTH if load.operation == "reversal" else len(str(load.msisdn_first))
    )
    head = (
        f"{form.method} {load.path} HTTP/1.1\r\nHost: {load.host}:{load.port}\r\n"
        f"Origin: *\r\nContent-Type: application/json\r\nContent-Length: {body_length}\r\n"
        "Authorization: Bearer "
    )
    between = f"\r\n\r\n{before_drawn}"
    return head.encode(), between.encode(), before_identifier.encode(), after.encode()


def build_session_request(load: Load) -> tuple[bytes, bytes]:
    """What stands before and after the bearer of a request for a session."""
    market = load.path.removesuffix(FORMS[load.operation].path)
    head = (
        f"GET {market}getSession/ HTTP/1.1\r\nHost: {load.host}:{load.port}\r\n"
        "Origin: *\r\nAuthorization: Bearer "
    )
    return head.encode(), b"\r\n\r\n"


def find_value(data: bytes, name: bytes) -> bytes:
    """The text that follows `name` in an answer; empty where there is none."""
    at = data.find(name)
    if at < 0:
        return b""
    start = at + len(name)
    return data[start : data.find(b'"', start)]
