"""Every field's check against the pattern that the documentation prints for it, text by text.

The texts are made from the printed pattern and from ours, then damaged: characters put in, changed
and taken out, lengths around every bound, digits and letters of other scripts, line ends. The
printed pattern is read as the page means it: over the whole value, with the classes of ECMAScript
and Java, in which digits and words are ASCII and a dot is no line end.

Where the verdicts differ, `DIFFERENCES` has to say so: by name, for which fields, which way, why,
and with texts that show it. A difference that is not listed fails, and so does one that is listed
and shows itself no longer.
"""

import json
import re
from collections.abc import Callable, Iterator
from datetime import date
from decimal import Decimal
from functools import cache
from itertools import product
from pathlib import Path

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from pesalango_server.catalog import kinds
from pesalango_server.catalog.markets import LESOTHO
from pesalango_server.catalog.model import (
    ENVIRONMENTS,
    EnvironmentName,
    Field,
    Kind,
    Market,
    Operation,
    Rule,
)
from pesalango_server.catalog.questions import (
    Refusal,
    accepted_fields,
    compile_questions,
    malformed_code,
    matched_pattern,
)
from pesalango_server.catalog.registry import OPERATIONS
from pesalango_server.catalog.schedule import is_date
from pesalango_server.catalog.validation import VALIDATORS

EXAMPLES = settings().max_examples * 3 // 20
"""Texts from each of the two patterns, for each field; each is damaged in some 250 ways.
Fifteen in continuous integration, as tests/conftest.py has it."""

TODAY = date(2024, 1, 1)

PRINTED_BY_PATH: dict[str, dict[str, str | None]] = {
    documented["path"]: {row["name"]: row["regex"] for row in documented["params"]}
    for documented in json.loads((Path(__file__).parent / "catalogue.json").read_text("utf-8"))
}


class Case(msgspec.Struct, frozen=True):
    """One field of one operation, in one market of one environment."""

    operation: Operation
    field: Field
    market: Market
    environment: EnvironmentName


# --- both verdicts -------------------------------------------------------------------------------


def printed_pattern(operation: Operation, field: Field) -> str | None:
    """As printed. The two calls that no page describes have fields of calls that some do."""
    if operation.path in PRINTED_BY_PATH:
        return PRINTED_BY_PATH[operation.path].get(field.wire_name)
    return field.kind.printed


@cache
def read_as_ecmascript(printed: str) -> re.Pattern[str]:
    """A printed pattern for Python, with the classes as ECMAScript has them."""
    # An unescaped dot outside a class: Python's admits the line ends that are not `\n`.
    translated = re.sub(
        r"(\\.|\[[^\]]*\])|\.", lambda found: found[1] or r"[^\n\r\u2028\u2029]", printed
    )
    return re.compile(translated, re.ASCII)


def admits_as_printed(case: Case, text: str) -> bool:
    printed = printed_pattern(case.operation, case.field)
    assert printed is not None
    return read_as_ecmascript(printed).fullmatch(text) is not None


@cache
def _judges_of(
    operation: str, wire_name: str, market: str, environment: EnvironmentName
) -> tuple[Callable[[str], object], ...]:
    found = next(op for op in OPERATIONS if op.name == operation)
    field = next(field for field in accepted_fields(found) if field.wire_name == wire_name)
    place = next(place for place in found.markets if place.path_value == market)
    return tuple(q.judge for q in compile_questions(found, field, place, environment))


def admits(case: Case, text: str) -> bool:
    """Our own verdict on one value, whatever the others are."""
    place = (case.market.path_value, case.environment)
    judges = _judges_of(case.operation.name, case.field.wire_name, *place)
    return all(judge(text) for judge in judges)


# --- the differences -----------------------------------------------------------------------------

_DECIMAL = re.compile(r"[0-9]*\.?[0-9]+")


class Difference(msgspec.Struct, frozen=True):
    """One way in which our verdict is another than the printed pattern's."""

    name: str
    kind: Kind
    is_admitted: bool
    """By us, where the printed pattern does not; else the other way round."""
    reason: str
    covers: Callable[[Case, str], bool]
    witnesses: tuple[str, ...]
    concerns: Callable[[Case], bool] = lambda case: True  # noqa: ARG005


def _amount_differences(kind: Kind) -> Iterator[Difference]:
    def covers(judge: Callable[[str], bool]) -> Callable[[Case, str], bool]:
        return lambda _, text: _DECIMAL.fullmatch(text) is not None and judge(text)

    for name, reason, judge, witnesses in (
        ("zero", "Nothing would be paid.", lambda text: Decimal(text) == 0, ("0", "0.00", ".0")),
        (
            "too precise",
            "The currencies have two decimals, and what is written is what counts.",
            lambda text: len(text.partition(".")[2]) > 2,
            ("10.000", ".001", "1.005"),
        ),
        (
            "too large",
            "A payment has a maximum, which the ledger's integers hold.",
            lambda text: Decimal(text) > Decimal("999999999999.99"),
            ("1000000000000", "9" * 13),
        ),
        (
            "too long",
            "An amount has a bounded number of characters, leading zeros included.",
            lambda text: len(text) > 32,
            ("0" * 32 + "1", "0" * 30 + "1.00"),
        ),
    ):
        yield Difference(f"{kind.name}: {name}", kind, False, reason, covers(judge), witnesses)


def _has_pattern_but_not(
    judge: Callable[[str], bool],
) -> Callable[[Case, str], bool]:
    return lambda _, text: not judge(text)


def _calendar_differences() -> Iterator[Difference]:
    for kind in (kinds.FIRST_PAYMENT_DATE, kinds.EXPIRY_DATE):
        yield Difference(
            f"{kind.name}: no such day",
            kind,
            False,
            "Eight digits need not be a day of the calendar.",
            _has_pattern_but_not(is_date),
            ("20230229", "20241301", "20240001", "20240100", "00000101"),
        )
    for kind in (kinds.START_OF_RANGE, kinds.END_OF_RANGE):
        yield Difference(
            f"{kind.name}: no such day of a month",
            kind,
            False,
            "Months have the days 01 to 31.",
            _has_pattern_but_not(lambda text: 1 <= int(text) <= 31),
            ("00", "32", "99"),
        )
    yield Difference(
        "frequency: no such frequency",
        kinds.FREQUENCY,
        False,
        "The page lists the frequencies 01 to 08.",
        _has_pattern_but_not(lambda text: 1 <= int(text) <= 8),
        ("00", "09", "10", "99"),
    )


DIFFERENCES: tuple[Difference, ...] = (
    *_amount_differences(kinds.AMOUNT),
    *_amount_differences(kinds.BALANCE_AMOUNT),
    Difference(
        "balance amount: the dot that is not escaped",
        kinds.BALANCE_AMOUNT,
        False,
        "Printed without its backslash, it admits any character between or before the digits.",
        lambda _, text: _DECIMAL.fullmatch(text) is None,
        ("8x5", "8,5", "-5", "8e5", "8 5", "é5", "１5", "\x005"),
    ),
    Difference(
        "msisdn: eleven digits in Lesotho",
        kinds.MSISDN,
        True,
        "Numbers of Lesotho have eleven digits, which the printed pattern does not admit.",
        lambda _, text: re.fullmatch("[0-9]{11}", text) is not None,
        ("26650000001", "0" * 11),
        concerns=lambda case: case.market is LESOTHO,
    ),
    Difference(
        "msisdn: twenty digits in a mandate's payment in the sandbox",
        kinds.MSISDN,
        True,
        "The triggers of that operation have twenty digits.",
        lambda _, text: re.fullmatch("[0-9]{20}", text) is not None,
        ("0" * 19 + "1", "2" * 20),
        concerns=lambda case: (
            case.operation.name == "direct_debit_payment" and case.environment == "sandbox"
        ),
    ),
    Difference(
        "agreed terms: not agreed",
        kinds.AGREED_TERMS,
        False,
        "0 says that the customer did not agree, and such a mandate there cannot be.",
        lambda _, text: text == "0",
        ("0",),
    ),
    *_calendar_differences(),
)

DIFFERENCES_AT_FIRST = DIFFERENCES

NOT_PRINTED = {
    "input_Country": "Compared with the market's own; the table names no pattern.",
    "input_QueryBalanceAmount": "The table lists its two values in place of a pattern.",
    "input_ResponseURL": "The prose speaks of it; no table has it.",
    "input_APIVersion": "Of the two calls that no page describes.",
    "input_VoucherCode": "Of the two calls that no page describes.",
    "update_transaction_status.input_TransactionID": "Of the two calls that no page describes.",
    "update_transaction_status.input_CustomerMSISDN": "Of the two calls that no page describes.",
}
"""Fields without a printed pattern, by wire name or by operation and wire name, and why."""

FIELDS = [(operation, field) for operation in OPERATIONS for field in accepted_fields(operation)]
COMPARED = [
    (operation, field)
    for operation, field in FIELDS
    if printed_pattern(operation, field) is not None
]
OF_COMPARED = pytest.mark.parametrize(
    ("operation", "field"), COMPARED, ids=lambda part: getattr(part, "wire_name", part.name)
)


def list_cases(operation: Operation, field: Field) -> list[Case]:
    return [
        Case(operation, field, market, environment)
        for market, environment in product(operation.markets, ENVIRONMENTS)
    ]


def find_unlisted(case: Case, text: str) -> str:
    """The difference between the verdicts that nothing explains; empty where there is none."""
    printed, ours = admits_as_printed(case, text), admits(case, text)
    if printed == ours:
        return ""
    for difference in DIFFERENCES:
        if (
            difference.kind is case.field.kind
            and difference.is_admitted == ours
            and difference.concerns(case)
            and difference.covers(case, text)
        ):
            return ""
    return (
        f"{case.operation.name}.{case.field.wire_name} in {case.market.path_value} of "
        f"{case.environment}: {text!r} printed {printed}, ours {ours}"
    )


# --- the texts -----------------------------------------------------------------------------------

STRANGERS = (
    "\n", "\r", "\r\n", "\t", "\x00", "\x1f", "\x85", "\u2028", "\u2029", "\u200b", "\ufeff", "\xa0",
    " ", "_", "+", "=", "-", ".", ",", ":", "/", "\\", "'", '"', "%", "0", "9", "a", "Z", "１", "١",
    "²", "Ⅷ", "é", "ａ", "ſ", "K", "ª", "İ", "\U0001d7d8", "\U0001f600",
)  # fmt: skip
BOUNDED = "1aZ_ +=.１é"
LENGTHS = (*range(1, 46), 255, 256, 257)
BOUNDARIES = (
    *(sign * length for sign in BOUNDED for length in LENGTHS),
    *(("01234567890123456789" * 20)[:length] for length in LENGTHS),
    *(f"{'1' * length}.{'1' * decimals}" for length in range(15) for decimals in range(5)),
    *(f"{day:02d}" for day in range(100)),
    *(f"{'1' * length}\n" for length in range(45)),
    *(f"\n{'1' * length}" for length in range(45)),
    "Name", "name", "NAME", "Name\n", "Names", "True", "TZS", "tzs", "ＴＺＳ",
    "999999999999.99", "999999999999.98", "1000000000000.00", "00000000000000000000000000000001",
    "20240229", "20230229", "99991231", "00010101", "00000000",
)  # fmt: skip


def damage(text: str) -> Iterator[str]:
    """The text itself, and with one place of it changed."""
    yield text
    places = sorted({0, len(text) // 2, max(len(text) - 1, 0), len(text)})
    for place in places:
        yield text[:place] + text[place + 1 :]
        for stranger in STRANGERS:
            yield text[:place] + stranger + text[place:]
            yield text[:place] + stranger + text[place + 1 :]
    yield from (text * 2, text.upper(), text.lower(), text[::-1], text.swapcase())


def test_every_field_is_compared_or_listed_as_having_no_printed_pattern() -> None:
    unprinted = {
        (operation.name, field.wire_name)
        for operation, field in FIELDS
        if printed_pattern(operation, field) is None
    }
    explained = {
        (operation, name)
        for operation, name in unprinted
        if name in NOT_PRINTED or f"{operation}.{name}" in NOT_PRINTED
    }
    assert unprinted == explained
    assert {operation.name for operation, _ in COMPARED} == {
        operation.name for operation in OPERATIONS if operation.fields
    }
    used = {name for operation, name in unprinted} | {f"{op}.{name}" for op, name in unprinted}
    assert set(NOT_PRINTED) <= used


@OF_COMPARED
def test_lengths_and_strange_characters_are_judged_as_printed_or_as_listed(
    operation: Operation, field: Field
) -> None:
    cases = list_cases(operation, field)
    found = [find_unlisted(case, text) for case in cases for text in BOUNDARIES]
    found += [
        find_unlisted(case, damaged)
        for case in cases
        for damaged in damage(field.example)
        # Empty text is a parameter that is not there, which no pattern is asked about.
        if damaged
    ]
    assert not any(found), "\n".join(filter(None, found))


@OF_COMPARED
def test_what_either_pattern_makes_is_judged_as_printed_or_as_listed(
    operation: Operation, field: Field
) -> None:
    cases = list_cases(operation, field)
    printed = printed_pattern(operation, field)
    assert printed is not None

    @settings(max_examples=EXAMPLES, database=None, phases=(Phase.generate,))
    @given(data=st.data())
    def check(data: st.DataObject) -> None:
        case = data.draw(st.sampled_from(cases))
        ours = matched_pattern(field, case.market, case.environment)
        assert ours is not None
        for pattern in (read_as_ecmascript(printed), re.compile(ours)):
            text = data.draw(st.from_regex(pattern, fullmatch=True))
            found = [find_unlisted(case, damaged) for damaged in damage(text) if damaged]
            assert not any(found), "\n".join(filter(None, found))

    check()


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda difference: difference.name)
def test_a_listed_difference_still_shows_itself_wherever_it_concerns(
    difference: Difference,
) -> None:
    cases = [
        case
        for operation, field in COMPARED
        if field.kind is difference.kind
        for case in list_cases(operation, field)
        if difference.concerns(case)
    ]
    assert cases
    for case in cases:
        for text in difference.witnesses:
            assert difference.covers(case, text), text
            assert admits(case, text) is difference.is_admitted, (case.operation.name, text)
            assert admits_as_printed(case, text) is not difference.is_admitted, text


def test_a_difference_that_is_not_listed_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "DIFFERENCES", ())
    found = [
        find_unlisted(case, text)
        for difference in DIFFERENCES_AT_FIRST
        for operation, field in COMPARED
        if field.kind is difference.kind
        for case in list_cases(operation, field)
        if difference.concerns(case)
        for text in difference.witnesses
    ]
    assert found
    assert all(found)


@OF_COMPARED
def test_the_whole_validator_refuses_what_the_field_does_not_admit(
    operation: Operation, field: Field
) -> None:
    """With its own code, naming the field; and nothing that the field admits."""
    # What an admitted value means beside the others, and in this market, is another question.
    may_fail_later = (
        field.kind in {kinds.COUNTRY, kinds.CURRENCY} or Rule.MANDATE_SCHEDULE in operation.rules
    )
    for case in list_cases(operation, field):
        validator = VALIDATORS[operation.name, case.market.path_value, case.environment]
        values = {f.wire_name: f.example for f in operation.fields if f.mandatory}
        values["input_Country"] = case.market.country
        if "input_Currency" in values:
            values["input_Currency"] = case.market.currency
        for text in (*BOUNDARIES, *filter(None, damage(field.example))):
            checked = validator.check({**values, field.wire_name: text}, today=TODAY)
            is_refused = isinstance(checked, Refusal) and checked.field == field.wire_name
            if not admits(case, text):
                assert is_refused, (case.market.path_value, text)
                assert isinstance(checked, Refusal)
                assert checked.code == malformed_code(operation, field)
            elif not may_fail_later:
                assert not is_refused, (case.market.path_value, text)
