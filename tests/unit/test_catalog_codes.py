"""Codes: statuses, texts, fallbacks, who produces them, and their order."""

import pytest

from pesalango_server.catalog import codes
from pesalango_server.catalog.codes import CODES, CODES_BY_CODE
from pesalango_server.catalog.model import Operation, Producer, Retry
from pesalango_server.catalog.precedence import ANY_TIME, PRECEDENCE
from pesalango_server.catalog.registry import OPERATIONS, answer, answerable_codes, find

BY_NAME = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)

C2B = find("c2b_single_stage")


@BY_NAME
def test_every_operation_answers_every_code(operation: Operation) -> None:
    for row in CODES:
        http_status, text = answer(operation, row.code)
        assert 200 <= http_status < 600
        assert text == " ".join(text.split()) != ""


@BY_NAME
def test_a_code_of_the_operations_table_is_answered_as_it_stands_there(
    operation: Operation,
) -> None:
    seen = set()
    for row in operation.codes:
        if row.code not in seen:
            assert answer(operation, row.code) == (row.http_status, row.text)
        seen.add(row.code)


@BY_NAME
def test_a_code_that_the_table_lacks_is_answered_by_the_fallback(operation: Operation) -> None:
    own = {
        codes.TRANSACTION_FAILED: (401, "Transaction Failed"),
        codes.SERVICE_UNAVAILABLE: (503, "Service is not available"),
        codes.MISSING_REFERENCE: (400, "Missing Reference"),
    }
    for row in CODES:
        if operation.lists(row.code):
            continue
        if row.code in own:
            assert answer(operation, row.code) == own[row.code]
        elif C2B.lists(row.code):
            assert answer(operation, row.code) == answer(C2B, row.code)


def test_one_code_has_the_status_of_the_operation_that_answers_it() -> None:
    assert answer(find("direct_debit_payment"), codes.MANDATE_MISMATCH)[0] == 400
    assert answer(find("query_direct_debit"), codes.MANDATE_MISMATCH)[0] == 500
    assert answer(find("query_direct_debit"), codes.INTERNAL_ERROR)[0] == 500
    assert answer(find("direct_debit_cancel"), codes.TRANSACTION_FAILED) == (
        401,
        "Mandate does not exist",
    )


def test_success_is_created_for_changes_and_ok_for_queries_and_settlements() -> None:
    for operation in OPERATIONS:
        settles = operation.name == "update_transaction_status"
        expected = 200 if operation.method == "GET" or settles else 201
        assert operation.success.http_status == expected, operation.name
        assert operation.success.code == (codes.SETTLED if settles else codes.PROCESSED)


def test_an_unknown_code_is_a_defect() -> None:
    with pytest.raises(KeyError):
        answer(C2B, "INS-4711")


def test_every_code_stands_once_in_the_list() -> None:
    assert len(CODES_BY_CODE) == len(CODES)


@BY_NAME
def test_a_code_that_no_check_produces_says_why(operation: Operation) -> None:
    for row in answerable_codes(operation):
        assert bool(row.why) == (row.producer is not Producer.CHECK), row


def test_the_codes_that_nothing_and_only_triggers_produce_are_the_known_ones() -> None:
    limits_of_value = {
        codes.CUSTOMER_VALUE_LIMIT,
        codes.VALUE_LIMIT,
        codes.SINGLE_VALUE_LIMIT,
    }
    nothing = {
        "update_transaction_status": {
            codes.REQUEST_TIMEOUT,
            codes.INVALID_AMOUNT,
            codes.INSUFFICIENT_BALANCE,
        },
        "b2b_payment": {codes.CUSTOMER_VALUE_LIMIT, codes.CUSTOMER_NUMBER_LIMIT},
        "reversal": {codes.REQUEST_TIMEOUT},
        "query_transaction_status": {codes.REQUEST_TIMEOUT},
        "direct_debit_create": {
            codes.INVALID_AMOUNT,
            codes.INVALID_TRANSACTION_REFERENCE,
            codes.INVALID_CURRENCY,
            codes.INVALID_PURCHASED_ITEMS,
            codes.INSUFFICIENT_BALANCE,
            *limits_of_value,
        },
        "direct_debit_payment": {
            codes.INVALID_TRANSACTION_REFERENCE,
            codes.INVALID_PURCHASED_ITEMS,
        },
        "query_direct_debit": {
            codes.INVALID_TRANSACTION_REFERENCE,
            codes.INSUFFICIENT_BALANCE,
        },
        "direct_debit_cancel": {
            codes.INVALID_PURCHASED_ITEMS,
            codes.INSUFFICIENT_BALANCE,
            *limits_of_value,
        },
        "query_beneficiary_name": {codes.TRANSACTION_FAILED, codes.REQUEST_TIMEOUT},
    }
    trigger = {
        "b2c_payment": {codes.REQUEST_TIMEOUT},
        "b2b_payment": {codes.TRANSACTION_FAILED, codes.REQUEST_TIMEOUT},
        "query_transaction_status": {codes.TRANSACTION_FAILED, codes.MISSING_REFERENCE},
        "direct_debit_payment": {codes.REQUEST_TIMEOUT},
        "query_direct_debit": {codes.REQUEST_TIMEOUT, codes.TRANSACTION_FAILED},
        "direct_debit_cancel": {codes.REQUEST_TIMEOUT},
    }
    for operation in OPERATIONS:
        by_producer = {
            producer: {r.code for r in answerable_codes(operation) if r.producer is producer}
            for producer in Producer
        }
        assert by_producer[Producer.NOTHING] == nothing.get(operation.name, set())
        assert by_producer[Producer.TRIGGER] == trigger.get(operation.name, set())
        listed = {row.code for row in answerable_codes(operation)}
        not_yet = (codes.NOT_PRODUCED_YET & listed) - by_producer[Producer.NOTHING]
        assert by_producer[Producer.NOT_YET] == not_yet


def test_usage_time_and_limits_are_what_does_not_exist_yet() -> None:
    not_yet = {f"INS-{number}" for number in range(990, 997)}
    assert not_yet == codes.NOT_PRODUCED_YET


@BY_NAME
def test_every_code_of_a_trigger_is_one_that_the_operation_can_answer(
    operation: Operation,
) -> None:
    answerable = {row.code: row.producer for row in answerable_codes(operation)}
    for row in operation.triggers:
        for outcome in (*row.outcomes.values(), *((row.nines,) if row.nines else ())):
            assert answerable[outcome.code] is not Producer.NOTHING


@BY_NAME
def test_a_code_that_only_a_trigger_produces_has_its_trigger(operation: Operation) -> None:
    triggered = {outcome.code for row in operation.triggers for outcome in row.outcomes.values()}
    for row in answerable_codes(operation):
        if row.producer is Producer.TRIGGER:
            assert row.code in triggered


def test_every_code_that_a_check_produces_has_its_place_in_the_order() -> None:
    placed = {code for check in (*PRECEDENCE, *ANY_TIME) for code in check.codes}
    successes = {operation.success.code for operation in OPERATIONS}
    for operation in OPERATIONS:
        for row in answerable_codes(operation):
            is_asked = row.producer in {Producer.CHECK, Producer.NOT_YET}
            if is_asked and row.code not in successes:
                assert row.code in placed, row
    assert placed <= set(CODES_BY_CODE)
    assert not placed & successes


# The total order, one line a step: what each question answers, in the order in which they are
# asked. Alternatives of one question stand between slashes.
ORDER = {
    1: "998",
    3: "997 996",
    4: "21 20 format 21 39 40 41 42 43",
    5: "998 26 57/20 55",
    6: "10 trigger",
    7: "13 997 23",
    8: "2051 56/21 50 6",
    9: "51 52 6/58 10 6 15",
    10: "18 35 21 6 15",
    11: "992/995/994/993/990/991 6/9 6 2006",
}
FORMAT = "15/13/17/18/19/26/28/30/31/32/36/39/40/41/42/43/51/54/56/2051/21"
TRIGGER = "1/6/9/15/16/21/35/45/2006"


@pytest.mark.parametrize("step", ORDER)
def test_the_questions_of_a_step_are_asked_in_the_total_order(step: int) -> None:
    asked = [
        "/".join(code.removeprefix("INS-") for code in check.codes)
        for check in PRECEDENCE
        if check.step == step
    ]
    expected = ORDER[step].replace("format", FORMAT).replace("trigger", TRIGGER)
    assert asked == expected.split()


def test_there_is_no_step_but_those_of_the_total_order() -> None:
    assert {check.step for check in PRECEDENCE} == set(ORDER)


def test_the_steps_of_the_order_never_go_back() -> None:
    steps = [check.step for check in PRECEDENCE]
    assert steps == sorted(steps)


def test_every_code_tells_what_a_caller_may_do_next() -> None:
    assert {row.code for row in CODES if row.retry is Retry.DONE} == {
        codes.PROCESSED,
        codes.SETTLED,
    }
    assert {row.code for row in CODES if row.retry is Retry.ASK} == {
        codes.REQUEST_TIMEOUT,
        codes.DUPLICATE_TRANSACTION,
    }
    assert {row.code for row in CODES if row.retry.may_be_resent_unchanged} == {
        codes.INTERNAL_ERROR,
        codes.SERVICE_UNAVAILABLE,
        codes.TRANSACTION_NOT_FOUND,
        codes.SESSION_NOT_CREATED,
    }


def test_money_may_have_moved_after_success_and_after_an_unknown_outcome_only() -> None:
    moved = {row.code for row in CODES if row.retry.may_have_moved_money}
    assert moved == {
        codes.PROCESSED,
        codes.SETTLED,
        codes.REQUEST_TIMEOUT,
        codes.DUPLICATE_TRANSACTION,
    }


def test_a_code_that_can_follow_the_duplicate_check_never_promises_its_id_again() -> None:
    recorded = {code for check in PRECEDENCE if check.step >= 7 for code in check.codes}
    for code in recorded - {codes.REQUEST_TIMEOUT, codes.DUPLICATE_TRANSACTION}:
        retry = CODES_BY_CODE[code].retry
        # A query for a status is never recorded, so that it may be asked again as it is.
        expected = Retry.SAME if code == codes.TRANSACTION_NOT_FOUND else Retry.NEW
        assert retry is expected, code
