"""The list of operations and what each declares about itself."""

import pytest

from pesalango_server.catalog.model import Operation, Product
from pesalango_server.catalog.questions import accepted_fields, malformed_code
from pesalango_server.catalog.registry import OPERATIONS, find, find_by_path

BY_NAME = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


def test_there_are_thirteen_operations_of_which_eleven_are_documented() -> None:
    assert len(OPERATIONS) == len({operation.name for operation in OPERATIONS}) == 13
    undocumented = [o.name for o in OPERATIONS if not o.is_documented]
    assert undocumented == ["c2b_multi_stage", "update_transaction_status"]


@BY_NAME
def test_an_operation_is_found_by_its_name(operation: Operation) -> None:
    assert find(operation.name) is operation


@BY_NAME
def test_an_operation_is_found_by_its_path_in_any_case_and_with_or_without_slash(
    operation: Operation,
) -> None:
    for path in (operation.path, operation.path.removesuffix("/")):
        assert find_by_path(path) is operation
        assert find_by_path(path.lower()) is operation
        assert find_by_path(path.upper()) is operation


@pytest.mark.parametrize(
    "path",
    ["", "/", "c2bPayment/", "getSession//", "/getSession/", "getSession/more", "c2bPaymentsingle"],
)
def test_any_other_path_is_no_operation(path: str) -> None:
    assert find_by_path(path) is None


@BY_NAME
def test_names_of_fields_are_unique_within_an_operation(operation: Operation) -> None:
    fields = accepted_fields(operation)
    names = [field.name for field in fields]
    spellings = [name for field in fields for name in (field.wire_name, *field.aliases)]
    assert len(set(names)) == len(names)
    assert len(set(spellings)) == len(spellings)


@BY_NAME
def test_a_response_url_is_the_last_thing_that_is_checked(operation: Operation) -> None:
    names = [field.wire_name for field in accepted_fields(operation)]
    assert ("input_ResponseURL" in names) == operation.can_be_asynchronous
    if operation.can_be_asynchronous:
        assert names[-1] == "input_ResponseURL"


def test_every_operation_but_the_session_can_be_asynchronous() -> None:
    synchronous = [o.name for o in OPERATIONS if not o.can_be_asynchronous]
    assert synchronous == ["get_session"]
    for operation in OPERATIONS:
        parts = (operation.acknowledgement, operation.callback, operation.listener_acknowledgement)
        assert all((part is not None) == operation.can_be_asynchronous for part in parts)


def test_only_sessions_statuses_and_names_may_be_asked_for_twice() -> None:
    assert {o.name for o in OPERATIONS if not o.are_duplicates_checked} == {
        "get_session",
        "query_transaction_status",
        "query_beneficiary_name",
    }


def test_an_operation_that_checks_duplicates_lists_their_code() -> None:
    for operation in OPERATIONS:
        assert operation.lists("INS-10") == operation.are_duplicates_checked, operation.name


def test_every_product_belongs_to_some_operation() -> None:
    products = [o.product for o in OPERATIONS if o.product is not None]
    assert set(products) == set(Product)
    assert products.count(Product.C2B_TWO_STEP) == 2
    assert products.count(Product.DIRECT_DEBIT) == 2


@pytest.mark.parametrize(
    ("name", "refusal"),
    [
        ("get_session", ("output_ResponseCode", "output_ResponseDesc", "output_error")),
        (
            "c2b_single_stage",
            (
                "output_ResponseCode",
                "output_ResponseDesc",
                "output_TransactionID",
                "output_ConversationID",
                "output_ThirdPartyConversationID",
            ),
        ),
        (
            "query_transaction_status",
            (
                "output_ResponseCode",
                "output_ResponseDesc",
                "output_ConversationID",
                "output_ThirdPartyConversationID",
                "output_OriginalTransactionID",
            ),
        ),
        (
            "direct_debit_create",
            (
                "output_ResponseCode",
                "output_ResponseDesc",
                "output_TransactionReference",
                "output_ConversationID",
                "output_ThirdPartyConversationID",
            ),
        ),
        (
            "query_beneficiary_name",
            (
                "output_ResponseCode",
                "output_ResponseDesc",
                "output_ConversationID",
                "output_ThirdPartyConversationID",
            ),
        ),
    ],
)
def test_a_refusal_carries_code_text_conversations_and_reference_in_order(
    name: str, refusal: tuple[str, ...]
) -> None:
    assert find(name).answer.refusal == refusal


def test_the_reference_of_a_refusal_is_the_operations_own() -> None:
    references = {o.name: o.answer.reference for o in OPERATIONS}
    payment = "output_TransactionID"
    mandate = "output_TransactionReference"
    assert references == {
        "get_session": None,
        "c2b_single_stage": payment,
        "c2b_multi_stage": payment,
        "update_transaction_status": payment,
        "b2c_payment": payment,
        "b2b_payment": payment,
        "reversal": payment,
        "query_transaction_status": "output_OriginalTransactionID",
        "direct_debit_create": mandate,
        "direct_debit_payment": payment,
        "query_direct_debit": mandate,
        "direct_debit_cancel": mandate,
        "query_beneficiary_name": None,
    }


def test_a_two_step_payment_is_a_single_stage_one_with_version_and_voucher() -> None:
    single, multi = find("c2b_single_stage"), find("c2b_multi_stage")
    assert multi.fields[:-1] == single.fields
    assert multi.fields[-1].wire_name == "input_APIVersion"
    assert multi.answer.fields[:-1] == single.answer.fields
    assert multi.answer.fields[-1].wire_name == "output_VoucherCode"
    assert multi.callback is not None
    assert multi.callback.fields[-1].wire_name == "input_VoucherCode"
    assert multi.codes == single.codes


def test_a_settlement_has_the_codes_of_a_reversal_but_for_its_success() -> None:
    settle, reverse = find("update_transaction_status"), find("reversal")
    assert [row.code for row in settle.codes[1:]] == [row.code for row in reverse.codes[1:]]
    assert (settle.success.code, settle.success.http_status) == ("INS-GAR-0", 200)
    assert settle.listener_acknowledgement is not None
    assert settle.listener_acknowledgement.field("response_code").example == "INS-GAR-0"


def test_a_malformed_value_has_the_code_of_its_kind_only_where_that_is_listed() -> None:
    def code_of(name: str, wire_name: str) -> str:
        operation = find(name)
        field = next(f for f in operation.fields if f.wire_name == wire_name)
        return malformed_code(operation, field)

    assert code_of("direct_debit_cancel", "input_ThirdPartyReference") == "INS-19"
    assert code_of("query_direct_debit", "input_ThirdPartyReference") == "INS-19"
    assert code_of("direct_debit_create", "input_ThirdPartyReference") == "INS-21"
    assert code_of("direct_debit_payment", "input_ThirdPartyReference") == "INS-21"
    assert code_of("query_direct_debit", "input_MsisdnToken") == "INS-56"
    assert code_of("direct_debit_payment", "input_MsisdnToken") == "INS-21"
    assert code_of("reversal", "input_TransactionID") == "INS-18"
    assert code_of("update_transaction_status", "input_CustomerMSISDN") == "INS-21"


def test_a_field_of_an_answer_is_found_by_its_name() -> None:
    answer = find("c2b_single_stage").answer
    assert answer.field("transaction_id").wire_name == "output_TransactionID"
    with pytest.raises(KeyError):
        answer.field("voucher_code")
