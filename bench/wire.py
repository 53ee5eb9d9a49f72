"""The bytes of a payment's request, and what the load generator reads of its answer."""

from __future__ import annotations

import re

from bench.load import Load

CONVERSATION_ID_LENGTH = 32
CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
RESPONSE_CODE = b'"output_ResponseCode"'


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
    """What stands before the bearer, between bearer and number, between number and identifier,
    and after it. Numbers and identifiers have one length each, hence so has the body.
    """
    before_number = (
        f'{{"input_Amount":"{load.amount}","input_Country":"{load.country}",'
        f'"input_Currency":"{load.currency}",'
        f'"input_ServiceProviderCode":"{load.service_provider_code}",'
        '"input_TransactionReference":"Benchmark","input_PurchasedItemsDesc":"Benchmark",'
        '"input_CustomerMSISDN":"'
    )
    before_identifier = '","input_ThirdPartyConversationID":"'
    after = '"}'
    body_length = len(before_number + str(load.msisdn_first) + before_identifier + after)
    body_length += CONVERSATION_ID_LENGTH
    head = (
        f"POST {load.path} HTTP/1.1\r\nHost: {load.host}:{load.port}\r\nOrigin: *\r\n"
        f"Content-Type: application/json\r\nContent-Length: {body_length}\r\n"
        "Authorization: Bearer "
    )
    between = f"\r\n\r\n{before_number}"
    return head.encode(), between.encode(), before_identifier.encode(), after.encode()
