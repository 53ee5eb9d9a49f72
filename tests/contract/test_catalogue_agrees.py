"""The catalog against the tables of the operator's documentation, cell by cell.

`catalogue.json` holds those tables as a program read them. Every cell of it is compared with what
the catalog says; where we differ on purpose, `DIFFERENCES` names the cell, what ours is, and why.
An entry that no cell needs any more is a failure too.
"""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pesalango_server.catalog.markets import MARKETS_BY_PATH_VALUE
from pesalango_server.catalog.model import ENVIRONMENTS, Answer, Field, Operation
from pesalango_server.catalog.questions import accepted_fields, compile_questions
from pesalango_server.catalog.registry import OPERATIONS, find_by_path

DOCUMENTED: list[dict[str, Any]] = json.loads(
    (Path(__file__).parent / "catalogue.json").read_text("utf-8")
)

Cell = tuple[str, ...]
Comparison = tuple[Cell, object, object]
"""Where it stands, what is documented, what is ours."""


# --- what is asked of both sides about a value ---------------------------------------------------


def ones(shortest: int, longest: int) -> tuple[str, ...]:
    return tuple("1" * length for length in range(shortest, longest + 1))


def letters(shortest: int, longest: int) -> tuple[str, ...]:
    return tuple("aZ"[length % 2] * length for length in range(shortest, longest + 1))


SIGNS = tuple(f"11{chr(sign)}11" for sign in range(32, 127) if not chr(sign).isalnum())
ZEROS = ("0", "00", "01", "0.0", ".0", "00000000")
AMOUNTS = ("10.", ".5", "0010", "10.00", "10.000", ".001", "1e3", "-1", "1.2.3")
DATES = ("20240229", "20230229", "20241301", "20240001")
WORDS = ("Name", "name", "True", "false", "TRUE", "GHA", "gha", "GHANA", "GHS", "T12344C")
OUTSIDE_ASCII = ("１２３４５６７８９０１２", "ｎａｍｅ", "é" * 6, "111111111111\n", "\n")
PROBES = (
    *ones(1, 41),
    *letters(1, 41),
    *SIGNS,
    *ZEROS,
    *AMOUNTS,
    *DATES,
    *WORDS,
    *OUTSIDE_ASCII,
    "x" * 256,
    "x" * 257,
)


def documented_accepts(regex: str | None, text: str) -> bool:
    """The printed pattern as its author meant it: ASCII, and `$` at the very end."""
    return regex is None or re.fullmatch(regex, text, re.ASCII) is not None


def asks_by(
    operation: Operation, field: Field, market: str, environment: str
) -> Callable[[str], bool]:
    questions = compile_questions(
        operation,
        field,
        MARKETS_BY_PATH_VALUE[market],
        next(name for name in ENVIRONMENTS if name == environment),
    )
    return lambda text: all(question.judge(text) for question in questions)


# --- the deliberate differences ------------------------------------------------------------------

AMOUNT_MEANS_SOMETHING = {
    "refused": (*ones(13, 41), "10.000", ".001", *(z for z in ZEROS if z != "01")),
}
AMOUNT_REASON = (
    "An amount is more than its pattern: not zero, no more decimals than the currency has, at "
    "most 999 999 999 999.99 and 32 characters."
)
DAYS_REFUSED = {"refused": ("00",)}
DATES_REFUSED = {
    "refused": ("00000000", "20230229", "20241301", "20240001"),
}

ASYNCHRONOUS = (
    "c2bPayment/singleStage/",
    "b2cPayment/",
    "b2bPayment/",
    "queryTransactionStatus/",
    "directDebitCreation/",
    "directDebitPayment/",
    "queryBeneficiaryName/",
    "queryDirectDebit/",
    "directDebitCancel/",
    "reversal/",
)
WITH_MSISDN = (
    "c2bPayment/singleStage/",
    "b2cPayment/",
    "directDebitCreation/",
    "queryDirectDebit/",
    "directDebitCancel/",
)
LESOTHO = "vodacomLES"


def _differences() -> Iterator[tuple[Cell, object, str]]:
    for path in ("c2bPayment/multiStage/", "updateTransactionStatus/"):
        yield (
            (path, "operation"),
            "in the catalog",
            "The two calls of two-step C2B are known from public clients; no page describes them.",
        )
    for path in ASYNCHRONOUS:
        yield (
            (path, "parameter", "input_ResponseURL"),
            "optional",
            "The prose of every asynchronous page speaks of it; no table has it.",
        )
        yield (
            (path, "unlisted code", "INS-16"),
            (503, "Service is not available"),
            "Overload and an unavailable database need a code that says: nothing was recorded.",
        )
    for path in WITH_MSISDN:
        for environment in ENVIRONMENTS:
            yield (
                (path, "parameter", "input_CustomerMSISDN", "accepts", LESOTHO, environment),
                {"accepted": ones(11, 11)},
                "Numbers of Lesotho have eleven digits; the printed pattern admits none of them.",
            )
    for market in MARKETS_BY_PATH_VALUE:
        for environment in ENVIRONMENTS:
            place = (market, environment)
            yield from _differences_of_values(place)
    for path in ("c2bPayment/singleStage/", "b2bPayment/"):
        yield (
            (path, "parameter", "input_PurchasedItemsDesc", "example"),
            False,
            "The example has a comma, which its own pattern refuses, and so does the real service.",
        )
    yield (
        ("queryTransactionStatus/", "parameter", "input_QueryReference", "example"),
        False,
        "The cell lists three examples, parted by commas.",
    )
    yield (
        ("queryDirectDebit/", "parameter", "input_QueryBalanceAmount", "example"),
        False,
        "The cell lists two examples, parted by a slash.",
    )
    yield (
        ("queryBeneficiaryName/", "parameter", "input_KYCQueryType"),
        "other spelling of input_KycQueryType",
        "The table spells it one way, the samples the other; both are understood.",
    )
    yield (
        ("queryTransactionStatus/", "callback", "8"),
        "input_ResponseTransactionStatus",
        "The documented callback of the status query does not tell the status.",
    )
    yield (
        ("getSession/", "unlisted code", "INS-998"),
        (400, "Invalid Market"),
        "An unknown market is answered alike by every operation.",
    )
    yield (
        ("getSession/", "unlisted code", "INS-1"),
        (400, "Internal Error"),
        "A fault of ours is answered alike by every operation.",
    )
    yield (
        ("queryTransactionStatus/", "unlisted code", "INS-45"),
        (400, "Missing Reference"),
        "One sandbox trigger answers it.",
    )
    yield (
        ("queryDirectDebit/", "unlisted code", "INS-6"),
        (401, "Transaction Failed"),
        "One sandbox trigger answers it.",
    )


def _differences_of_values(place: Cell) -> Iterator[tuple[Cell, object, str]]:
    for path, name in (
        ("c2bPayment/singleStage/", "input_Amount"),
        ("b2cPayment/", "input_Amount"),
        ("b2bPayment/", "input_Amount"),
        ("directDebitPayment/", "input_Amount"),
        ("reversal/", "input_ReversalAmount"),
    ):
        yield (path, "parameter", name, "accepts", *place), AMOUNT_MEANS_SOMETHING, AMOUNT_REASON
    between_digits = tuple(sign for sign in SIGNS if sign != "11.11")
    yield (
        ("queryDirectDebit/", "parameter", "input_BalanceAmount", "accepts", *place),
        {
            "refused": (
                *AMOUNT_MEANS_SOMETHING["refused"],
                *between_digits,
                "1e3",
                "-1",
            )
        },
        f"The printed pattern does not escape its dot. {AMOUNT_REASON}",
    )
    create = "directDebitCreation/"
    for name, refused, reason in (
        ("input_AgreedTC", {"refused": ("0",)}, "0 says that the customer did not agree."),
        ("input_FirstPaymentDate", DATES_REFUSED, "The day must exist."),
        ("input_ExpiryDate", DATES_REFUSED, "The day must exist."),
        ("input_Frequency", {"refused": ("11", "00")}, "There are the frequencies 01 to 08."),
        ("input_StartRangeOfDays", DAYS_REFUSED, "Days of a month are 01 to 31."),
        ("input_EndRangeOfDays", DAYS_REFUSED, "Days of a month are 01 to 31."),
    ):
        yield (create, "parameter", name, "accepts", *place), refused, reason
    yield (
        ("queryDirectDebit/", "parameter", "input_QueryBalanceAmount", "accepts", *place),
        {"refused": tuple(probe for probe in PROBES if probe.lower() not in {"true", "false"})},
        "No pattern is printed; the two possible values are, and nothing else means anything.",
    )
    market, environment = place
    pay = ("directDebitPayment/", "parameter", "input_CustomerMSISDN", "accepts", *place)
    accepted = (
        *(ones(11, 11) if market == LESOTHO else ()),
        *(ones(20, 20) if environment == "sandbox" else ()),
    )
    if accepted:
        yield (
            pay,
            {"accepted": accepted},
            "The sandbox's triggers here have twenty digits, and numbers of Lesotho have eleven.",
        )


DIFFERENCES: dict[Cell, tuple[object, str]] = {
    cell: (ours, reason) for cell, ours, reason in _differences()
}


# --- the cells -----------------------------------------------------------------------------------


def single_spaced(text: str) -> str:
    return " ".join(text.split())


def compare_operation(documented: dict[str, Any], ours: Operation) -> Iterator[Comparison]:
    path = documented["path"]
    yield (path, "path"), path, ours.path
    yield (path, "method"), documented["method"], ours.method
    yield from compare_markets(path, documented["markets"], ours)
    yield from compare_parameters(path, documented["params"], ours)
    for section, answer in (
        ("sync", ours.answer),
        ("async_ack", ours.acknowledgement),
        ("callback", ours.callback),
        ("listener_ack", ours.listener_acknowledgement),
    ):
        yield from compare_answer(path, section, documented[section], answer, ours)
    yield from compare_codes(path, documented["codes"], ours)


def compare_markets(path: str, rows: list[list[str]], ours: Operation) -> Iterator[Comparison]:
    by_path_value = {market.path_value: market for market in ours.markets}
    yield (path, "markets"), {row[1] for row in rows}, set(by_path_value)
    for description, path_value, *country_and_currency in rows:
        market = by_path_value[path_value]
        cells = (market.description, market.country, market.currency)
        for name, theirs, mine in zip(
            ("description", "country", "currency"),
            (description, *country_and_currency),
            cells,
            strict=False,
        ):
            yield (path, "market", path_value, name), theirs, mine


def compare_parameters(
    path: str, rows: list[dict[str, Any]], ours: Operation
) -> Iterator[Comparison]:
    fields = {field.wire_name: field for field in accepted_fields(ours)}
    names = list(fields)
    for position, row in enumerate(rows):
        name = row["name"]
        field = fields[name]
        cell = (path, "parameter", name)
        yield (*cell, "position"), position, names.index(name)
        yield (*cell, "mandatory"), row["mandatory"], field.mandatory
        yield (*cell, "pattern"), row["regex"], field.kind.printed
        is_accepted = asks_by(ours, field, ours.markets[0].path_value, "sandbox")
        yield (*cell, "example"), True, is_accepted(row["example"])
        for market in ours.markets:
            for environment in ENVIRONMENTS:
                is_accepted = asks_by(ours, field, market.path_value, environment)
                yield (
                    (*cell, "accepts", market.path_value, environment),
                    {},
                    find_disagreements(row["regex"], is_accepted),
                )
    documented_names = {row["name"] for row in rows}
    for field in fields.values():
        if field.wire_name not in documented_names:
            ours_is = "mandatory" if field.mandatory else "optional"
            yield (path, "parameter", field.wire_name), None, ours_is
        for alias in field.aliases:
            yield (path, "parameter", alias), None, f"other spelling of {field.wire_name}"


def find_disagreements(regex: str | None, is_accepted: Callable[[str], bool]) -> dict[str, object]:
    refused = {p for p in PROBES if documented_accepts(regex, p) and not is_accepted(p)}
    accepted = {p for p in PROBES if not documented_accepts(regex, p) and is_accepted(p)}
    return {
        name: probes for name, probes in (("refused", refused), ("accepted", accepted)) if probes
    }


def compare_answer(
    path: str,
    section: str,
    rows: list[dict[str, Any]],
    answer: Answer | None,
    operation: Operation,
) -> Iterator[Comparison]:
    fields = answer.fields if answer is not None else ()
    for position in range(max(len(rows), len(fields))):
        theirs = rows[position]["name"] if position < len(rows) else None
        mine = fields[position].wire_name if position < len(fields) else None
        yield (path, section, str(position + 1)), theirs, mine
    if answer is None:
        return
    for row in rows:
        field = next(field for field in fields if field.wire_name == row["name"])
        cell = (path, section, row["name"], "example")
        if field.name in {"response_code", "result_code"}:
            yield cell, row["example"], field.example
        elif field.name in {"response_description", "result_description"}:
            yield cell, single_spaced(row["example"]), field.example
            if section == "sync":
                yield (*cell, "is success"), field.example, operation.success.text


def compare_codes(path: str, rows: list[dict[str, Any]], ours: Operation) -> Iterator[Comparison]:
    for position in range(max(len(rows), len(ours.codes))):
        nothing: dict[str, Any] = {"code": "", "http": 0, "text": ""}
        row = rows[position] if position < len(rows) else nothing
        mine = ours.codes[position] if position < len(ours.codes) else None
        cell = (path, "code", str(position + 1))
        yield (*cell, "code"), row["code"], mine and mine.code
        yield (*cell, "http"), row["http"], mine and mine.http_status
        yield (*cell, "text"), single_spaced(row["text"]), mine and mine.text
    for extra in ours.unlisted_codes:
        yield (path, "unlisted code", extra.code), None, (extra.http_status, extra.text)


def compare_all() -> Iterator[Comparison]:
    documented_paths = {documented["path"] for documented in DOCUMENTED}
    for operation in OPERATIONS:
        if operation.path not in documented_paths:
            yield (operation.path, "operation"), None, "in the catalog"
    for documented in DOCUMENTED:
        ours = find_by_path(documented["path"])
        assert ours is not None, f"{documented['path']} is not in the catalog"
        yield from compare_operation(documented, ours)


def _as_sets(value: object) -> object:
    """Lists of probes are compared as sets: their order says nothing."""
    if isinstance(value, dict):
        return {key: set(probes) for key, probes in value.items()}
    return value


# --- the tests -----------------------------------------------------------------------------------


def test_every_cell_agrees_with_the_documentation_or_differs_as_listed(
    capsys: pytest.CaptureFixture[str], record_property: Callable[[str, object], None]
) -> None:
    faults: list[str] = []
    cells = differing = 0
    for cell, documented, ours in compare_all():
        cells += 1
        listed = DIFFERENCES.get(cell)
        if documented == ours:
            if listed is not None:
                faults.append(f"{cell}: listed as a difference, and agrees")
        elif listed is None:
            faults.append(f"{cell}: documented {documented!r}, ours {ours!r}")
        elif _as_sets(listed[0]) != _as_sets(ours):
            faults.append(f"{cell}: listed {listed[0]!r}, ours {ours!r}")
        else:
            differing += 1
    record_property("cells_compared", cells)
    record_property("cells_that_differ_on_purpose", differing)
    with capsys.disabled():
        # The count is this test's result as much as its verdict is.
        print(f"\n{cells} cells compared, {differing} differ on purpose")  # noqa: T201
    assert not faults, "\n".join(faults)
    # Eleven operations with some ninety cells each, and the markets times environments.
    assert cells > 2000


def test_every_listed_difference_is_met_by_a_cell() -> None:
    met = {cell for cell, _, _ in compare_all()}
    assert sorted(cell for cell in DIFFERENCES if cell not in met) == []
