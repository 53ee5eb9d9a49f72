"""Amounts as text and as minor units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pesalango_server.kernel.invariant import InvariantViolated
from pesalango_server.kernel.money import (
    AMOUNT_CHARACTERS_MAX,
    AMOUNT_MAX_MINOR,
    format_amount_minor,
    parse_amount_minor,
)


@pytest.mark.parametrize(
    ("text", "amount_minor"),
    [
        ("10", 10_00),
        ("10.0", 10_00),
        ("10.00", 10_00),
        ("0010", 10_00),
        (".5", 50),
        ("0.5", 50),
        (".05", 5),
        ("0.01", 1),
        ("1.09", 1_09),
        ("999999999999.99", AMOUNT_MAX_MINOR),
        ("0" * (AMOUNT_CHARACTERS_MAX - 1) + "1", 1_00),
    ],
)
def test_an_amount_is_read_as_minor_units(text: str, amount_minor: int) -> None:
    assert parse_amount_minor(text, 2) == amount_minor


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "10.",
        "1.2.3",
        "1..2",
        "-10",
        "+10",
        "1e3",
        "1E3",
        "1_000",
        "1 000",
        "1,5",
        " 10",
        "10 ",
        "10\n",
        "0x10",
        "ten",
        "NaN",
        "Infinity",
        "１０",
        "1０",
        "10.٥",
        "²",
    ],
)
def test_what_is_no_plain_decimal_is_refused(text: str) -> None:
    assert parse_amount_minor(text, 2) is None


@pytest.mark.parametrize("text", ["0", "00", "0.0", "0.00", ".0", ".00"])
def test_zero_is_refused(text: str) -> None:
    assert parse_amount_minor(text, 2) is None


@pytest.mark.parametrize("text", ["10.000", "0.001", ".001", "10.005"])
def test_the_decimals_as_written_count(text: str) -> None:
    assert parse_amount_minor(text, 2) is None


@pytest.mark.parametrize(
    "text",
    ["1000000000000", "1000000000000.00", "999999999999.999", "9" * AMOUNT_CHARACTERS_MAX],
)
def test_more_than_the_platforms_maximum_is_refused(text: str) -> None:
    assert parse_amount_minor(text, 2) is None


def test_an_amount_of_more_than_thirty_two_characters_is_refused() -> None:
    assert AMOUNT_CHARACTERS_MAX == 32
    assert parse_amount_minor("0" * 31 + "1", 2) == 1_00
    assert parse_amount_minor("0" * 32 + "1", 2) is None


def test_a_currency_without_decimals_takes_no_point() -> None:
    assert parse_amount_minor("25", 0) == 25
    assert parse_amount_minor("25.0", 0) is None
    assert parse_amount_minor("25.", 0) is None


@given(st.integers(1, AMOUNT_MAX_MINOR), st.integers(0, 3))
def test_every_amount_survives_being_written_and_read(amount_minor: int, decimals: int) -> None:
    assert parse_amount_minor(format_amount_minor(amount_minor, decimals), decimals) == amount_minor


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_without_a_fault(text: str) -> None:
    amount_minor = parse_amount_minor(text, 2)
    assert amount_minor is None or 0 < amount_minor <= AMOUNT_MAX_MINOR


@pytest.mark.parametrize(
    ("amount_minor", "decimals", "text"),
    [
        (10_50, 2, "10.50"),
        (5, 2, "0.05"),
        (0, 2, "0.00"),
        (-100_000_00, 2, "-100000.00"),
        (-5, 2, "-0.05"),
        (25, 0, "25"),
        (-25, 0, "-25"),
        (1234, 3, "1.234"),
    ],
)
def test_an_amount_is_written_with_the_currencys_decimals(
    amount_minor: int, decimals: int, text: str
) -> None:
    assert format_amount_minor(amount_minor, decimals) == text


def test_a_negative_number_of_decimals_is_a_defect() -> None:
    with pytest.raises(InvariantViolated):
        format_amount_minor(1, -1)
