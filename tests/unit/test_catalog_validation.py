"""Steps 4 and 5 of the order of checks, through the validators that the gateway uses."""

from collections.abc import Mapping
from datetime import date
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pesalango_server.catalog.markets import GHANA, LESOTHO, MARKETS, TANZANIA
from pesalango_server.catalog.model import ENVIRONMENTS, EnvironmentName, Market, Operation
from pesalango_server.catalog.questions import (
    Checked,
    Refusal,
    accepted_fields,
    malformed_code,
)
from pesalango_server.catalog.registry import OPERATIONS, find
from pesalango_server.catalog.validation import NESTED, VALIDATORS, find_validator
from pesalango_server.kernel.invariant import InvariantViolated

TODAY = date(2029, 6, 15)
WITH_FIELDS = [operation for operation in OPERATIONS if operation.fields]
BY_NAME = pytest.mark.parametrize("operation", WITH_FIELDS, ids=lambda operation: operation.name)
IN_BOTH = pytest.mark.parametrize("environment", ENVIRONMENTS)

Body = dict[str, str | None]


def valid_body(name: str, market: Market = GHANA) -> Body:
    """Every parameter of the operation, with our examples and the market's own country."""
    body: Body = {field.wire_name: field.example for field in accepted_fields(find(name))}
    if "input_Country" in body:
        body["input_Country"] = market.country
    if "input_Currency" in body:
        body["input_Currency"] = market.currency
    return body


def check(
    name: str,
    body: Mapping[str, str | None],
    market: Market = GHANA,
    environment: EnvironmentName = "sandbox",
) -> Checked | Refusal:
    return VALIDATORS[name, market.path_value, environment].check(body, today=TODAY)


def refusal_of(
    name: str,
    body: Mapping[str, str | None],
    market: Market = GHANA,
    environment: EnvironmentName = "sandbox",
) -> Refusal:
    refusal = check(name, body, market, environment)
    assert isinstance(refusal, Refusal), f"accepted: {refusal}"
    return refusal


def checked_of(
    name: str,
    body: Mapping[str, str | None],
    market: Market = GHANA,
    environment: EnvironmentName = "sandbox",
) -> Checked:
    checked = check(name, body, market, environment)
    assert isinstance(checked, Checked), f"refused: {checked}"
    return checked


def without(body: Body, *names: str) -> Body:
    return {name: value for name, value in body.items() if name not in names}


# --- what is accepted ----------------------------------------------------------------------------


@BY_NAME
@IN_BOTH
def test_a_valid_request_is_accepted_in_every_market(
    operation: Operation, environment: EnvironmentName
) -> None:
    for market in operation.markets:
        body = valid_body(operation.name, market)
        checked = checked_of(operation.name, body, market, environment)
        amounts = {"amount", "reversal_amount", "balance_amount"}
        names = {field.name for field in accepted_fields(operation)}
        assert set(checked.values) == names - amounts
        assert (checked.amount_minor is not None) == bool(names & amounts)


@BY_NAME
def test_a_request_with_the_mandatory_parameters_alone_is_accepted(operation: Operation) -> None:
    body = valid_body(operation.name)
    optional = [field.wire_name for field in accepted_fields(operation) if not field.mandatory]
    body = without(body, *optional)
    if operation.name in {"direct_debit_payment", "query_direct_debit", "direct_debit_cancel"}:
        body["input_CustomerMSISDN"] = "233200004711"
    if operation.name == "query_direct_debit":
        body["input_QueryBalanceAmount"] = "False"
    checked = checked_of(operation.name, body)
    assert "response_url" not in checked.values


def test_checked_values_have_minor_units_and_the_text_as_sent() -> None:
    checked = checked_of(
        "c2b_single_stage",
        {
            "input_Amount": "0010.5",
            "input_CustomerMSISDN": "233200004711",
            "input_Country": "gHa",
            "input_Currency": "ghs",
            "input_ServiceProviderCode": "SHOP27",
            "input_TransactionReference": " Invoice 1042 ",
            "input_ThirdPartyConversationID": "order1042attempt1",
            "input_PurchasedItemsDesc": "Two bags+rice_1",
        },
    )
    assert checked == Checked(
        amount_minor=10_50,
        values={
            "customer_msisdn": "233200004711",
            "country": "gHa",
            "currency": "ghs",
            "service_provider_code": "SHOP27",
            "transaction_reference": " Invoice 1042 ",
            "third_party_conversation_id": "order1042attempt1",
            "purchased_items_description": "Two bags+rice_1",
        },
    )


def test_a_flag_is_handed_on_in_one_spelling() -> None:
    body = valid_body("query_direct_debit")
    for sent, kept in (("TRUE", "True"), ("true", "True"), ("fAlSe", "False")):
        body["input_QueryBalanceAmount"] = sent
        assert checked_of("query_direct_debit", body).values["query_balance_amount"] == kept


def test_an_amount_that_is_left_out_of_a_reversal_is_none() -> None:
    body = without(valid_body("reversal"), "input_ReversalAmount")
    assert checked_of("reversal", body).amount_minor is None


def test_parameters_that_are_unknown_or_belong_to_others_are_ignored() -> None:
    body = valid_body("c2b_single_stage")
    plain = check("c2b_single_stage", body)
    body |= {
        "input_MandateID": "not a mandate",
        "input_ReversalAmount": NESTED,
        "token": "x" * 5000,
        "INPUT_AMOUNT": "1",
        "input_amount": NESTED,
        "": None,
    }
    assert check("c2b_single_stage", body) == plain


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_session_takes_no_parameters_and_refuses_none(environment: EnvironmentName) -> None:
    body = {"input_Amount": NESTED, "input_Country": "KEN"}
    checked = check("get_session", body, GHANA, environment)
    assert checked == Checked(values={}, amount_minor=None)


def test_a_market_that_does_not_offer_the_operation_has_no_validator() -> None:
    names = find("query_beneficiary_name")
    assert find_validator(names, GHANA, "sandbox") is not None
    for market in MARKETS:
        if market is not GHANA:
            assert find_validator(names, market, "sandbox") is None
    assert len(VALIDATORS) == (12 * 5 + 1) * 2


# --- one fault -----------------------------------------------------------------------------------


@BY_NAME
@pytest.mark.parametrize("absent", [None, "", "left out"])
def test_a_missing_mandatory_parameter_is_refused(operation: Operation, absent: str | None) -> None:
    for field in operation.fields:
        if not field.mandatory:
            continue
        body = valid_body(operation.name)
        if absent == "left out":
            del body[field.wire_name]
        else:
            body[field.wire_name] = absent
        refusal = refusal_of(operation.name, body)
        assert (refusal.code, refusal.http_status) == ("INS-20", 400)
        assert refusal.field == field.wire_name


@BY_NAME
@IN_BOTH
@pytest.mark.parametrize("fault", ["!", "1\n", "１", "\x00", "x" * 3000, "\ud800"])
def test_a_malformed_parameter_is_refused_with_its_own_code(
    operation: Operation, environment: EnvironmentName, fault: str
) -> None:
    for field in accepted_fields(operation):
        body = valid_body(operation.name)
        body[field.wire_name] = fault
        refusal = refusal_of(operation.name, body, GHANA, environment)
        assert refusal.code == malformed_code(operation, field)
        assert refusal.field == field.wire_name


@BY_NAME
def test_a_nested_value_in_a_parameter_is_refused(operation: Operation) -> None:
    for field in accepted_fields(operation):
        body = valid_body(operation.name)
        body[field.wire_name] = NESTED
        assert refusal_of(operation.name, body).code == "INS-21"


def test_the_text_of_the_nested_mark_is_not_taken_for_it() -> None:
    body = valid_body("c2b_single_stage")
    body["input_Amount"] = NESTED[:3] + NESTED[3:]
    assert refusal_of("c2b_single_stage", body).code == "INS-15"


@pytest.mark.parametrize("value", ["KEN", "GH", "GHANA", " GHA", "GHA\n", "ＧＨＡ", "GHAGHA"])
def test_another_markets_country_is_refused(value: str) -> None:
    body = valid_body("c2b_single_stage")
    body["input_Country"] = value
    assert refusal_of("c2b_single_stage", body).code == "INS-998"


def test_a_letter_whose_capital_is_in_ascii_does_not_pass_for_it() -> None:
    body = valid_body("c2b_single_stage", LESOTHO)
    body["input_Country"] = "LEſ"
    assert refusal_of("c2b_single_stage", body, LESOTHO).code == "INS-998"


@pytest.mark.parametrize("value", ["TZS", "GH", "g"])
def test_another_markets_currency_is_refused(value: str) -> None:
    body = valid_body("c2b_single_stage")
    body["input_Currency"] = value
    assert refusal_of("c2b_single_stage", body).code == "INS-26"


@pytest.mark.parametrize(
    "amount", ["0", "0.00", "10.", "10.000", "1e3", "-1", "1000000000000", "1" * 33]
)
def test_an_amount_that_is_none_is_refused(amount: str) -> None:
    body = valid_body("c2b_single_stage")
    body["input_Amount"] = amount
    refusal = refusal_of("c2b_single_stage", body)
    assert (refusal.code, refusal.field) == ("INS-15", "input_Amount")


def test_terms_that_are_not_agreed_to_are_refused() -> None:
    body = valid_body("direct_debit_create")
    for value in ("0", "2", "True"):
        body["input_AgreedTC"] = value
        assert refusal_of("direct_debit_create", body).code == "INS-36"


@pytest.mark.parametrize(
    ("amount", "http_status"),
    [
        ("8x5", 400),
        ("80.", 400),
        ("-80", 400),
        ("0", 401),
        ("0.00", 401),
        ("80.000", 401),
        ("1000000000000", 401),
        ("1" * 40, 401),
    ],
)
@pytest.mark.parametrize("asked", ["True", "False"])
def test_a_useless_balance_amount_is_refused_whether_it_is_needed_or_not(
    amount: str, http_status: int, asked: str
) -> None:
    body = valid_body("query_direct_debit")
    body |= {"input_BalanceAmount": amount, "input_QueryBalanceAmount": asked}
    refusal = refusal_of("query_direct_debit", body)
    assert (refusal.code, refusal.http_status) == ("INS-54", http_status)
    assert refusal.text == "Invalid BalanceAmount Used"


@pytest.mark.parametrize(
    ("name", "code", "http_status"),
    [
        ("query_direct_debit", "INS-57", 500),
        ("direct_debit_payment", "INS-20", 400),
        ("direct_debit_cancel", "INS-20", 400),
    ],
)
def test_a_request_that_names_no_customer_is_refused(
    name: str, code: str, http_status: int
) -> None:
    both = valid_body(name)
    for left in ("input_CustomerMSISDN", "input_MsisdnToken"):
        checked_of(name, without(both, left))
    nobody = without(both, "input_CustomerMSISDN", "input_MsisdnToken")
    refusal = refusal_of(name, nobody)
    assert (refusal.code, refusal.http_status) == (code, http_status)


def test_a_question_about_the_balance_needs_an_amount() -> None:
    body = without(valid_body("query_direct_debit"), "input_BalanceAmount")
    body["input_QueryBalanceAmount"] = "true"
    refusal = refusal_of("query_direct_debit", body)
    assert (refusal.code, refusal.http_status) == ("INS-55", 401)
    body["input_QueryBalanceAmount"] = "False"
    assert checked_of("query_direct_debit", body).amount_minor is None


@BY_NAME
def test_a_refusal_has_the_operations_own_status_and_text(operation: Operation) -> None:
    body = valid_body(operation.name)
    body["input_ThirdPartyConversationID"] = "a,b"
    refusal = refusal_of(operation.name, body)
    row = next(row for row in operation.codes if row.code == "INS-28")
    assert (refusal.http_status, refusal.text) == (row.http_status, row.text)


@BY_NAME
def test_no_refusal_repeats_what_was_sent(operation: Operation) -> None:
    for field in accepted_fields(operation):
        body = valid_body(operation.name)
        body[field.wire_name] = "secret!4711"
        assert "4711" not in str(refusal_of(operation.name, body))


# --- other spellings -----------------------------------------------------------------------------


def test_the_other_spelling_of_the_query_type_is_understood() -> None:
    body = without(valid_body("query_beneficiary_name"), "input_KycQueryType")
    assert refusal_of("query_beneficiary_name", body).code == "INS-20"
    body["input_KYCQueryType"] = "Name"
    assert checked_of("query_beneficiary_name", body).values["kyc_query_type"] == "Name"
    body["input_KYCQueryType"] = "Address"
    assert refusal_of("query_beneficiary_name", body).code == "INS-32"


def test_the_documented_spelling_wins_over_the_other() -> None:
    body = valid_body("query_beneficiary_name") | {"input_KYCQueryType": "Address"}
    checked_of("query_beneficiary_name", body)
    body |= {"input_KycQueryType": "Address", "input_KYCQueryType": "Name"}
    assert refusal_of("query_beneficiary_name", body).code == "INS-32"


def test_an_empty_documented_spelling_leaves_room_for_the_other() -> None:
    body = valid_body("query_beneficiary_name")
    body |= {"input_KycQueryType": "", "input_KYCQueryType": "Name"}
    checked_of("query_beneficiary_name", body)


def test_a_nested_value_under_the_other_spelling_is_refused() -> None:
    body = valid_body("query_beneficiary_name") | {"input_KYCQueryType": NESTED}
    assert refusal_of("query_beneficiary_name", body).code == "INS-21"


# --- several faults ------------------------------------------------------------------------------


@BY_NAME
def test_of_two_malformed_parameters_the_first_documented_one_answers(
    operation: Operation,
) -> None:
    # The country is compared with the market's only after all patterns.
    fields = [f for f in accepted_fields(operation) if f.wire_name != "input_Country"]
    for earlier, later in combinations(fields, 2):
        body = valid_body(operation.name)
        body |= {earlier.wire_name: "!", later.wire_name: "!"}
        assert refusal_of(operation.name, body).field == earlier.wire_name


@BY_NAME
def test_a_missing_parameter_answers_before_a_malformed_one(operation: Operation) -> None:
    mandatory = [field for field in operation.fields if field.mandatory]
    for missing in mandatory:
        for malformed in accepted_fields(operation):
            if malformed is not missing:
                body = valid_body(operation.name)
                body |= {malformed.wire_name: "!", missing.wire_name: None}
                assert refusal_of(operation.name, body).code == "INS-20"


@BY_NAME
def test_a_nested_value_answers_before_a_missing_one(operation: Operation) -> None:
    fields = accepted_fields(operation)
    body = valid_body(operation.name)
    body |= {fields[0].wire_name: "", fields[-1].wire_name: NESTED}
    assert refusal_of(operation.name, body).code == "INS-21"


@BY_NAME
def test_of_two_missing_parameters_the_first_documented_one_answers(operation: Operation) -> None:
    mandatory = [field.wire_name for field in operation.fields if field.mandatory]
    assert refusal_of(operation.name, {}).field == mandatory[0]


@BY_NAME
def test_a_malformed_parameter_answers_before_another_markets_country(
    operation: Operation,
) -> None:
    for field in accepted_fields(operation):
        if field.wire_name != "input_Country":
            body = valid_body(operation.name)
            body |= {"input_Country": "KEN", field.wire_name: "!"}
            assert refusal_of(operation.name, body).field == field.wire_name


def test_a_useless_response_url_answers_after_all_other_parameters() -> None:
    body = valid_body("c2b_single_stage") | {"input_ResponseURL": "ftp://shop.example/"}
    assert refusal_of("c2b_single_stage", body).code == "INS-21"
    body["input_PurchasedItemsDesc"] = "a,b"
    assert refusal_of("c2b_single_stage", body).code == "INS-30"


def test_the_response_url_answers_before_the_country() -> None:
    body = valid_body("c2b_single_stage")
    body |= {"input_ResponseURL": "ftp://shop.example/", "input_Country": "KEN"}
    assert refusal_of("c2b_single_stage", body).code == "INS-21"


def test_the_country_answers_before_the_currency() -> None:
    body = valid_body("c2b_single_stage")
    body |= {"input_Country": "KEN", "input_Currency": "KES"}
    assert refusal_of("c2b_single_stage", body).code == "INS-998"


def test_a_malformed_currency_answers_before_the_country() -> None:
    body = valid_body("c2b_single_stage")
    body |= {"input_Country": "KEN", "input_Currency": "cedi"}
    assert refusal_of("c2b_single_stage", body).code == "INS-26"


@pytest.mark.parametrize("name", ["query_direct_debit", "direct_debit_payment"])
def test_the_currency_answers_before_a_customer_who_is_not_named(name: str) -> None:
    body = without(valid_body(name), "input_CustomerMSISDN", "input_MsisdnToken")
    body["input_Currency"] = "TZS"
    assert refusal_of(name, body).code == "INS-26"


def test_a_customer_who_is_not_named_answers_before_a_missing_balance_amount() -> None:
    body = without(
        valid_body("query_direct_debit"),
        "input_CustomerMSISDN",
        "input_MsisdnToken",
        "input_BalanceAmount",
    )
    assert refusal_of("query_direct_debit", body).code == "INS-57"


def test_a_mandate_that_cannot_be_answers_before_another_markets_country() -> None:
    body = valid_body("direct_debit_create")
    body |= {"input_Country": "KEN", "input_StartRangeOfDays": None}
    assert refusal_of("direct_debit_create", body).code == "INS-42"


def test_the_response_url_answers_before_a_mandate_that_cannot_be() -> None:
    body = valid_body("direct_debit_create")
    body |= {"input_ResponseURL": "ftp://shop.example/", "input_StartRangeOfDays": None}
    assert refusal_of("direct_debit_create", body).code == "INS-21"


# --- the short way -------------------------------------------------------------------------------


def mandatory_body(operation: Operation, market: Market) -> Body:
    """The request that takes the short way: nothing in it is optional."""
    optional = [field.wire_name for field in accepted_fields(operation) if not field.mandatory]
    return without(valid_body(operation.name, market), *optional)


WITH_SHORTCUT = [
    operation
    for operation in WITH_FIELDS
    if VALIDATORS[operation.name, GHANA.path_value, "sandbox"]._shortcut is not None
]


def test_operations_without_rules_over_several_fields_have_the_short_way() -> None:
    assert [operation.name for operation in WITH_SHORTCUT] == [
        operation.name for operation in WITH_FIELDS if not operation.rules
    ]


@pytest.mark.parametrize("operation", WITH_SHORTCUT, ids=lambda operation: operation.name)
@IN_BOTH
def test_the_common_request_takes_the_short_way(
    operation: Operation, environment: EnvironmentName
) -> None:
    for market in operation.markets:
        validator = VALIDATORS[operation.name, market.path_value, environment]
        body = mandatory_body(operation, market)
        assert validator._shortcut is not None
        checked = validator._shortcut.accept(body)
        assert isinstance(checked, Checked)
        assert checked == validator.check_in_order(body)


@pytest.mark.parametrize("operation", WITH_SHORTCUT, ids=lambda operation: operation.name)
@pytest.mark.parametrize(
    "fault", [None, "", "!", "\n", "１", "x" * 300, NESTED, "with a newline", "another market's"]
)
def test_the_short_way_lets_no_fault_of_one_parameter_pass(
    operation: Operation, fault: str | None
) -> None:
    for field in operation.fields:
        if not field.mandatory:
            continue
        body = mandatory_body(operation, GHANA)
        value = fault
        if fault == "with a newline":
            value = f"{body[field.wire_name]}\n"
        if fault == "another market's":
            if field.name not in {"country", "currency"}:
                continue
            value = {"country": TANZANIA.country, "currency": TANZANIA.currency}[field.name]
        body[field.wire_name] = value
        refusal = refusal_of(operation.name, body)
        assert refusal.code in {"INS-20", "INS-21", "INS-998", malformed_code(operation, field)}
        validator = VALIDATORS[operation.name, GHANA.path_value, "sandbox"]
        assert refusal == validator.check_in_order(body)


@pytest.mark.parametrize("operation", WITH_SHORTCUT, ids=lambda operation: operation.name)
def test_the_short_way_does_not_take_another_parameter_for_a_missing_one(
    operation: Operation,
) -> None:
    for field in operation.fields:
        if field.mandatory:
            body = without(mandatory_body(operation, GHANA), field.wire_name)
            body["unknown"] = field.example
            refusal = refusal_of(operation.name, body)
            assert (refusal.code, refusal.field) == ("INS-20", field.wire_name)


def test_the_short_way_does_not_let_one_text_pass_for_two() -> None:
    body = mandatory_body(find("c2b_single_stage"), GHANA)
    # Both fields lie side by side in the joined text; together they have the right parts.
    body |= {"input_Country": "GHA\nGHS", "input_Currency": "SHOP27"}
    body["input_ServiceProviderCode"] = None
    assert refusal_of("c2b_single_stage", body).code == "INS-20"


def test_a_request_with_a_response_url_is_asked_every_question() -> None:
    operation = find("c2b_single_stage")
    body = mandatory_body(operation, GHANA) | {"input_ResponseURL": "https://shop.example/x"}
    assert checked_of(operation.name, body).values["response_url"] == "https://shop.example/x"


@BY_NAME
@pytest.mark.parametrize("base", ["mandatory", "complete"])
@given(data=st.data())
def test_the_short_way_answers_what_the_ordered_checks_answer(
    operation: Operation, base: str, data: st.DataObject
) -> None:
    market = data.draw(st.sampled_from(operation.markets))
    environment = data.draw(st.sampled_from(ENVIRONMENTS))
    if base == "mandatory":
        body = mandatory_body(operation, market)
    else:
        body = valid_body(operation.name, market)
    names = list(body)
    for name in data.draw(st.lists(st.sampled_from(names), max_size=2)):
        spoilt = ["", "!", "0", "1", "10.", "True", "1" * 11, "1" * 20, "gha", "KEN", "GHS", "a\nb"]
        body[name] = data.draw(st.sampled_from([None, NESTED, f"{body[name]}\n", *spoilt]))
    for name in data.draw(st.lists(st.sampled_from(names), max_size=1)):
        body.pop(name, None)
    if data.draw(st.booleans()):
        body["unknown"] = data.draw(st.one_of(st.none(), st.text(max_size=5)))
    validator = VALIDATORS[operation.name, market.path_value, environment]
    assert validator.check(body, today=TODAY) == validator.check_in_order(body, today=TODAY)


@BY_NAME
@given(data=st.data())
def test_any_body_is_answered_without_a_fault(operation: Operation, data: st.DataObject) -> None:
    names = [field.wire_name for field in accepted_fields(operation)]
    values = st.one_of(st.none(), st.text(max_size=40), st.just(NESTED))
    body = valid_body(operation.name) | data.draw(
        st.dictionaries(st.one_of(st.sampled_from(names), st.text(max_size=5)), values)
    )
    environment = data.draw(st.sampled_from(ENVIRONMENTS))
    answer = check(operation.name, body, GHANA, environment)
    assert isinstance(answer, Checked | Refusal)


def test_a_new_mandate_in_openapi_cannot_be_checked_without_the_date() -> None:
    validator = VALIDATORS["direct_debit_create", GHANA.path_value, "openapi"]
    with pytest.raises(InvariantViolated):
        validator.check(valid_body("direct_debit_create"))
