"""The outputs that operations share, and how answers, acknowledgements and callbacks are put
together from them.
"""

from typing import Final

from pesalango_server.catalog.model import Answer, AnswerField


def output(
    wire_name: str, name: str, description: str, example: str, *, is_optional: bool = False
) -> AnswerField:
    """One field of an answer."""
    return AnswerField(
        wire_name=wire_name,
        name=name,
        description=description,
        example=example,
        is_optional=is_optional,
    )


RESPONSE_CODE: Final = output(
    "output_ResponseCode", "response_code", "The code of the result.", "INS-0"
)
RESPONSE_DESC: Final = output(
    "output_ResponseDesc",
    "response_description",
    "The text that belongs to the code.",
    "Request processed successfully",
)
TRANSACTION_ID: Final = output(
    "output_TransactionID",
    "transaction_id",
    "The id of the money's movement: 12 letters and digits, unique for ever.",
    "5fT0kQ2mBx7L",
)
CONVERSATION_ID: Final = output(
    "output_ConversationID",
    "conversation_id",
    "The gateway's id of this request: 32 hexadecimal digits.",
    "00f3a1c85b9e4d7263d0b7e2914f6ac8",
)
THIRD_PARTY_CONVERSATION_ID: Final = output(
    "output_ThirdPartyConversationID",
    "third_party_conversation_id",
    "The caller's id of the request, as it was sent.",
    "order1042attempt1",
)
TRANSACTION_REFERENCE: Final = output(
    "output_TransactionReference",
    "transaction_reference",
    "The gateway's reference of the mandate: 32 letters and digits.",
    "q7w1e9r3t5y8u2i4o6p0a1s3d5f7g9h2",
)
MSISDN_TOKEN: Final = output(
    "output_MsisdnToken",
    "msisdn_token",
    "The token of the customer's number for this organisation; in successful answers only.",
    "Xq4mT9bKc2RzWv8pLd6NyA==",
)
MANDATE_ID: Final = output(
    "output_MandateID", "mandate_id", "The id of the mandate within the organisation.", "20417"
)

ORIGINAL_CONVERSATION_ID: Final = output(
    "input_OriginalConversationID",
    "original_conversation_id",
    "The ConversationID with which the request was acknowledged.",
    CONVERSATION_ID.example,
)
RESULT_CODE: Final = output(
    "input_ResultCode", "result_code", "The code of the result.", RESPONSE_CODE.example
)
RESULT_DESC: Final = output(
    "input_ResultDesc", "result_description", RESPONSE_DESC.description, RESPONSE_DESC.example
)

_IN_EVERY_REFUSAL: Final = frozenset(
    {
        "response_code",
        "response_description",
        "result_code",
        "result_description",
        "conversation_id",
        "original_conversation_id",
        "third_party_conversation_id",
    }
)


def answer(*fields: AnswerField, reference: AnswerField | None = None) -> Answer:
    """An answer whose refusal keeps code, text, conversations and the reference, in order."""
    return Answer(
        fields=fields,
        reference=None if reference is None else reference.wire_name,
        refusal=tuple(
            field.wire_name
            for field in fields
            if field.name in _IN_EVERY_REFUSAL or field is reference
        ),
    )


def returned(field: AnswerField) -> AnswerField:
    """The same value where a callback carries it: callbacks are inputs of the caller."""
    return AnswerField(
        wire_name=field.wire_name.replace("output_", "input_", 1),
        name=field.name,
        description=field.description,
        example=field.example,
        is_optional=field.is_optional,
    )


ACKNOWLEDGEMENT: Final = answer(
    RESPONSE_CODE, RESPONSE_DESC, CONVERSATION_ID, THIRD_PARTY_CONVERSATION_ID
)


def listener_acknowledgement(code: str = "0") -> Answer:
    """What a listener answers to a callback; `code` is what its code should be."""
    return answer(
        output(
            "output_OriginalConversationID",
            "original_conversation_id",
            ORIGINAL_CONVERSATION_ID.description,
            ORIGINAL_CONVERSATION_ID.example,
        ),
        output("output_ResponseCode", "response_code", "That the result arrived.", code),
        output(
            "output_ResponseDesc",
            "response_description",
            RESPONSE_DESC.description,
            "Successfully Accepted Result",
        ),
        THIRD_PARTY_CONVERSATION_ID,
    )


PAYMENT_ANSWER: Final = answer(
    RESPONSE_CODE,
    RESPONSE_DESC,
    TRANSACTION_ID,
    CONVERSATION_ID,
    THIRD_PARTY_CONVERSATION_ID,
    reference=TRANSACTION_ID,
)
_RETURNED_TRANSACTION_ID: Final = returned(TRANSACTION_ID)
PAYMENT_CALLBACK: Final = answer(
    ORIGINAL_CONVERSATION_ID,
    _RETURNED_TRANSACTION_ID,
    RESULT_CODE,
    RESULT_DESC,
    returned(THIRD_PARTY_CONVERSATION_ID),
    reference=_RETURNED_TRANSACTION_ID,
)
