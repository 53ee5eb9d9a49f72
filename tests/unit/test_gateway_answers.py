"""What the answers of an operation look like."""

import json

import pytest

from pesalango_server.catalog.registry import OPERATIONS, find
from pesalango_server.gateway.answers import OperationAnswers, render_error

PATTERN = "0123456789abcdef"


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_code_of_every_operation_can_be_answered(operation: object) -> None:
    answers = OperationAnswers(operation)  # type: ignore[arg-type]
    for row in (*answers.operation.codes, *answers.operation.unlisted_codes):
        answer = answers.refuse(row.code, third_party_conversation_id="t")
        content = json.loads(answer.body)
        assert tuple(content) == answers.operation.answer.refusal
        assert all(isinstance(value, str) for value in content.values())


def test_a_refusal_says_what_was_sent_and_has_an_id_that_is_never_found() -> None:
    answers = OperationAnswers(find("c2b_single_stage"))
    answer = answers.refuse("INS-20", third_party_conversation_id="\x00'\"é")
    content = json.loads(answer.body)
    conversation_id = content.pop("output_ConversationID")
    assert answer.status == 400
    assert content == {
        "output_ResponseCode": "INS-20",
        "output_ResponseDesc": "Not All Parameters Provided. Please try again.",
        "output_TransactionID": "N/A",
        "output_ThirdPartyConversationID": "\x00'\"é",
    }
    assert conversation_id[0] in "89abcdef"
    assert len(conversation_id) == 32
    assert set(conversation_id) <= set(PATTERN)


def test_two_refusals_have_different_conversation_ids() -> None:
    answers = OperationAnswers(find("c2b_single_stage"))
    bodies = {answers.refuse("INS-20").body for _ in range(100)}
    assert len(bodies) == 100


def test_trouble_has_the_sessions_own_code_on_get_session() -> None:
    session = OperationAnswers(find("get_session")).unavailable(reason="no room")
    payment = OperationAnswers(find("c2b_single_stage")).unavailable()
    assert (session.code, session.status) == ("INS-989", 400)
    assert json.loads(session.body) == {
        "output_ResponseCode": "INS-989",
        "output_ResponseDesc": "Session Creation Failed",
        "output_error": "no room",
    }
    assert (payment.code, payment.status) == ("INS-16", 503)


def test_a_success_has_the_documented_fields_in_their_order() -> None:
    answers = OperationAnswers(find("query_transaction_status"))
    content = json.loads(answers.succeed({"transaction_status": "Pending"}).body)
    assert list(content.items()) == [
        ("output_ResponseCode", "INS-0"),
        ("output_ResponseDesc", "Request processed successfully"),
        ("output_ResponseTransactionStatus", "Pending"),
        ("output_ConversationID", ""),
        ("output_ThirdPartyConversationID", ""),
        ("output_OriginalTransactionID", ""),
        ("output_Reversed", ""),
    ]


def test_an_optional_field_without_a_value_is_left_out() -> None:
    answers = OperationAnswers(find("query_direct_debit"))
    content = json.loads(answers.succeed({}).body)
    assert "output_SufficientBalance" not in content
    assert content["output_MandateStatus"] == ""


def test_an_error_before_any_operation_is_one_field() -> None:
    assert json.loads(render_error('a "text"')) == {"output_error": 'a "text"'}
