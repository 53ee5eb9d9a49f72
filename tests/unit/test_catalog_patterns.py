"""What each kind of field accepts, against the pattern that the documentation prints."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pesalango_server.catalog import kinds
from pesalango_server.catalog.kinds import KINDS
from pesalango_server.catalog.markets import GHANA, LESOTHO, MARKETS
from pesalango_server.catalog.model import ENVIRONMENTS, EnvironmentName, Field, Kind, Market
from pesalango_server.catalog.questions import compile_questions, matched_pattern
from pesalango_server.catalog.registry import OPERATIONS, find

PRINTED = [kind for kind in KINDS if kind.printed is not None]
# The one printed pattern that we correct: its dot is not escaped.
FAITHFUL = [kind for kind in PRINTED if kind is not kinds.BALANCE_AMOUNT]
OF_FAITHFUL = pytest.mark.parametrize("kind", FAITHFUL, ids=lambda kind: kind.name)
OF_PRINTED = pytest.mark.parametrize("kind", PRINTED, ids=lambda kind: kind.name)
FIELDS = [
    pytest.param(operation.name, field, id=f"{operation.name}.{field.name}")
    for operation in OPERATIONS
    for field in operation.fields
]


def matches(kind: Kind, text: str) -> bool:
    assert kind.pattern is not None
    return re.fullmatch(kind.pattern, text) is not None


def matches_as_printed(kind: Kind, text: str) -> bool:
    """As the documentation means it: letters and digits of ASCII, nothing after the end."""
    assert kind.printed is not None
    return re.fullmatch(kind.printed, text, re.ASCII) is not None


def accepts(
    operation_name: str, field: Field, text: str, market: Market, environment: EnvironmentName
) -> bool:
    questions = compile_questions(find(operation_name), field, market, environment)
    return all(question.judge(text) for question in questions)


def field_of(operation_name: str, wire_name: str) -> Field:
    return next(f for f in find(operation_name).fields if f.wire_name == wire_name)


@OF_FAITHFUL
@given(data=st.data())
def test_what_the_printed_pattern_admits_is_admitted(kind: Kind, data: st.DataObject) -> None:
    assert kind.printed is not None
    text = data.draw(st.from_regex(re.compile(kind.printed, re.ASCII), fullmatch=True))
    # from_regex takes `$` at its word and may end with a newline, which no value may.
    assert matches(kind, text) == matches_as_printed(kind, text)
    assert matches(kind, text.removesuffix("\n"))


@OF_FAITHFUL
@given(data=st.data())
def test_what_our_pattern_admits_is_admitted_as_printed(kind: Kind, data: st.DataObject) -> None:
    assert kind.pattern is not None
    text = data.draw(st.from_regex(kind.pattern, fullmatch=True))
    assert matches(kind, text)
    assert matches_as_printed(kind, text)


@OF_FAITHFUL
@given(text=st.text(alphabet="01259azAZ _+=.-,\n\x00é１", max_size=42))
def test_any_text_is_admitted_by_both_patterns_or_by_neither(kind: Kind, text: str) -> None:
    assert matches(kind, text) == matches_as_printed(kind, text)


@OF_FAITHFUL
@given(text=st.text(max_size=12))
def test_text_of_any_script_is_admitted_by_both_patterns_or_by_neither(
    kind: Kind, text: str
) -> None:
    assert matches(kind, text) == matches_as_printed(kind, text)


@pytest.mark.parametrize("text", ["80", ".5", "80.00", "0080", "0"])
def test_an_amount_to_compare_the_balance_with_is_written_like_an_amount(text: str) -> None:
    assert matches(kinds.BALANCE_AMOUNT, text)
    assert matches_as_printed(kinds.BALANCE_AMOUNT, text)


@pytest.mark.parametrize("text", ["8x5", "8,5", "-5", "8e5", "8 5"])
def test_the_unescaped_dot_of_the_balance_amount_is_corrected(text: str) -> None:
    assert matches_as_printed(kinds.BALANCE_AMOUNT, text)
    assert not matches(kinds.BALANCE_AMOUNT, text)


@OF_PRINTED
def test_a_newline_at_the_end_does_not_pass(kind: Kind) -> None:
    for operation in OPERATIONS:
        for field in operation.fields:
            if field.kind is kind:
                assert matches(kind, field.example)
                assert not matches(kind, f"{field.example}\n")


@pytest.mark.parametrize("digit", ["１", "१", "١", "²", "Ⅷ"])
@OF_PRINTED
def test_a_digit_of_another_script_does_not_pass(kind: Kind, digit: str) -> None:
    assert not any(matches(kind, digit * length) for length in range(1, 41))


@pytest.mark.parametrize("letter", ["é", "ａ", "ſ", "К", "ª"])
@OF_PRINTED
def test_a_letter_outside_ascii_does_not_pass(kind: Kind, letter: str) -> None:
    assert not any(matches(kind, letter * length) for length in range(1, 41))


def test_no_pattern_admits_a_newline_anywhere() -> None:
    for kind in KINDS:
        if kind.pattern is not None:
            for text in ("\n", "1\n", "\n1", "1\n1", "a\na", "Name\n", "http://a\n"):
                assert not matches(kind, text), kind.name


@pytest.mark.parametrize("market", MARKETS, ids=lambda market: market.path_value)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_number_has_twelve_to_fourteen_digits_and_in_lesotho_eleven_too(
    market: Market, environment: EnvironmentName
) -> None:
    field = field_of("c2b_single_stage", "input_CustomerMSISDN")
    accepted = [
        length
        for length in range(1, 25)
        if accepts("c2b_single_stage", field, "2" * length, market, environment)
    ]
    assert accepted == ([11, 12, 13, 14] if market is LESOTHO else [12, 13, 14])


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize(
    "name",
    [o.name for o in OPERATIONS if any(f.kind is kinds.MSISDN for f in o.fields)],
)
def test_twenty_digits_pass_in_mandate_payments_of_the_sandbox_only(
    name: str, environment: EnvironmentName
) -> None:
    field = field_of(name, "input_CustomerMSISDN")
    is_the_exception = name == "direct_debit_payment" and environment == "sandbox"
    assert accepts(name, field, "2" * 20, GHANA, environment) == is_the_exception
    for length in (15, 19, 21):
        assert not accepts(name, field, "2" * length, GHANA, environment)


def test_the_prefix_of_a_number_is_not_checked() -> None:
    field = field_of("c2b_single_stage", "input_CustomerMSISDN")
    assert accepts("c2b_single_stage", field, "000000000000", GHANA, "openapi")
    assert accepts("c2b_single_stage", field, "254700004711", GHANA, "openapi")


@pytest.mark.parametrize(("operation_name", "field"), FIELDS)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_example_of_ours_is_accepted(
    operation_name: str, field: Field, environment: EnvironmentName
) -> None:
    assert accepts(operation_name, field, field.example, GHANA, environment)


@pytest.mark.parametrize("text", ["True", "true", "TRUE", "tRuE", "False", "false"])
def test_a_flag_is_true_or_false_in_any_case(text: str) -> None:
    assert matches(kinds.FLAG, text)


@pytest.mark.parametrize("text", ["", "1", "0", "yes", "Truee", "true ", "None", "ｔrue"])
def test_a_flag_is_nothing_else(text: str) -> None:
    assert not matches(kinds.FLAG, text)


def test_a_comma_in_a_description_is_refused() -> None:
    assert not matches(kinds.PURCHASED_ITEMS, "Handbag, Black shoes")
    assert not matches(kinds.PAYMENT_ITEMS, "Refund, order 1042")


def test_the_two_step_fields_are_as_public_clients_send_them() -> None:
    assert matches(kinds.API_VERSION, "3.1")
    assert not matches(kinds.API_VERSION, "3x1")
    assert not matches(kinds.API_VERSION, "3.10")
    assert [text for text in ("0", "1", "2", "10", "") if matches(kinds.SETTLEMENT, text)] == [
        "0",
        "1",
    ]
    assert [n for n in range(1, 16) if matches(kinds.VOUCHER_CODE, "A" * n)] == [*range(4, 13)]
    assert [n for n in range(1, 16) if matches(kinds.RESERVATION_ID, "A" * n)] == [*range(1, 14)]


def test_the_country_has_no_pattern_and_is_compared_instead() -> None:
    country = field_of("c2b_single_stage", "input_Country")
    assert matched_pattern(country, GHANA, "sandbox") is None
    assert [kind.name for kind in KINDS if kind.pattern is None] == ["country"]
