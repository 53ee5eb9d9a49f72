"""Sandbox triggers: which values are one, and what each answers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pesalango_server.catalog.model import TriggerOutcome
from pesalango_server.catalog.questions import Checked
from pesalango_server.catalog.registry import OPERATIONS, find
from pesalango_server.catalog.triggers import find_trigger

# The table of section 8, one digit after the other: "-" is no trigger, "ok" a triggered success,
# "as usual" an ordinary request.
TABLE = [
    ("c2b_single_stage", "customer_msisdn", 12, "as usual 9 9 6 1 6 15 2006 16"),
    ("c2b_multi_stage", "customer_msisdn", 12, "as usual 9 9 6 1 6 15 2006 16"),
    ("b2c_payment", "customer_msisdn", 12, "as usual 1 6 9 15 2006 16 - -"),
    ("b2b_payment", "receiver_party_code", 6, "as usual 1 6 9 15 2006 16 - -"),
    ("reversal", "transaction_id", 13, "ok 1 6 15 2006 35 16 - -"),
    ("query_transaction_status", "query_reference", 12, "ok 1 6 - - - 16 - -"),
    ("query_transaction_status", "query_reference", 21, "ok 45 1 6 16 - - - -"),
    ("update_transaction_status", "transaction_id", 13, "ok 1 6 16 - - - - -"),
    ("direct_debit_create", "customer_msisdn", 12, "as usual 1 6 9 16 - - - -"),
    ("direct_debit_payment", "customer_msisdn", 20, "ok 1 6 9 16 - - - -"),
    ("query_direct_debit", "third_party_reference", 20, "ok 1 6 9 1 - - - -"),
    ("direct_debit_cancel", "third_party_reference", 20, "ok 1 6 9 16 - - - -"),
]


def ask(name: str, **values: str) -> TriggerOutcome | None:
    return find_trigger(find(name), Checked(values=values, amount_minor=None))


@pytest.mark.parametrize(("name", "field", "length", "cells"), TABLE)
def test_every_cell_of_the_table_answers_as_it_says(
    name: str, field: str, length: int, cells: str
) -> None:
    for digit, cell in enumerate(cells.replace("as usual", "-").split(), start=1):
        outcome = ask(name, **{field: str(digit).rjust(length, "0")})
        if cell == "-":
            assert outcome is None
        elif cell == "ok":
            assert outcome is not None
            assert outcome.code == find(name).success.code
        else:
            assert outcome is not None
            assert outcome.code == f"INS-{cell}"


@pytest.mark.parametrize(("name", "field", "length", "cells"), TABLE)
def test_only_zeros_before_the_digit_and_the_given_length_make_a_trigger(
    name: str, field: str, length: int, cells: str
) -> None:
    assert cells
    other_lengths = {
        row[2] for row in TABLE if (row[0], row[1]) == (name, field) and row[2] != length
    }
    for value in ("0" * length, "1" + "0" * (length - 2) + "2", "0" * (length - 2) + "12"):
        assert ask(name, **{field: value}) is None
    for other in {length - 1, length + 1} - other_lengths:
        assert ask(name, **{field: "2".rjust(other, "0")}) is None


def test_every_row_of_the_catalog_is_in_the_table() -> None:
    in_catalog = {
        (operation.name, row.field, row.length)
        for operation in OPERATIONS
        for row in operation.triggers
    }
    assert in_catalog == {(name, field, length) for name, field, length, _ in TABLE}


@pytest.mark.parametrize("name", ["query_direct_debit", "direct_debit_cancel"])
def test_a_reference_of_all_nines_is_a_bad_parameter(name: str) -> None:
    outcome = ask(name, third_party_reference="9" * 20)
    assert outcome is not None
    assert outcome.code == "INS-21"
    assert ask(name, third_party_reference="9" * 19) is None


@pytest.mark.parametrize(("length", "reversed_text"), [(12, "False"), (21, "True")])
def test_a_triggered_status_is_completed_and_reversed_by_the_length(
    length: int, reversed_text: str
) -> None:
    outcome = ask("query_transaction_status", query_reference="1".rjust(length, "0"))
    assert outcome is not None
    assert outcome.answer == {"transaction_status": "Completed", "reversed": reversed_text}


def ask_about_mandate(amount_minor: int | None = None, **values: str) -> dict[str, str]:
    values = {"third_party_reference": "1".rjust(20, "0"), **values}
    checked = Checked(values=values, amount_minor=amount_minor)
    outcome = find_trigger(find("query_direct_debit"), checked)
    assert outcome is not None
    assert outcome.code == "INS-0"
    return dict(outcome.answer)


def test_a_triggered_mandate_is_active_and_on_demand_by_default() -> None:
    assert ask_about_mandate(customer_msisdn="233200004711") == {
        "mandate_id": "15045",
        "mandate_status": "Active",
        "account_status": "Active",
        "frequency": "08",
        "payment_day_from": "",
        "payment_day_to": "",
        "expiry_date": "",
    }


@pytest.mark.parametrize(
    ("digit", "status"),
    [(1, "Active"), (2, "Pending Approval"), (3, "Locked"), (4, "Inactive"), (5, "Active")],
)
def test_the_number_decides_the_account_status_of_a_triggered_mandate(
    digit: int, status: str
) -> None:
    answer = ask_about_mandate(customer_msisdn=str(digit).rjust(12, "0"))
    assert answer["account_status"] == status
    assert answer["mandate_status"] == "Active"


@pytest.mark.parametrize(
    ("digit", "status"),
    [(1, "Active"), (2, "Pending Approval"), (3, "Cancelled"), (4, "Expired"), (5, "Active")],
)
def test_the_mandate_id_decides_the_status_of_a_triggered_mandate(digit: int, status: str) -> None:
    mandate_id = str(digit).rjust(6, "0")
    answer = ask_about_mandate(mandate_id=mandate_id)
    assert answer["mandate_status"] == status
    assert answer["mandate_id"] == mandate_id


@pytest.mark.parametrize(
    ("amount_minor", "sufficient"), [(1, "True"), (500_00, "True"), (500_01, "False")]
)
def test_a_triggered_balance_covers_five_hundred(amount_minor: int, sufficient: str) -> None:
    answer = ask_about_mandate(amount_minor=amount_minor, query_balance_amount="True")
    assert answer["sufficient_balance"] == sufficient


def test_a_triggered_balance_is_told_only_when_asked() -> None:
    answer = ask_about_mandate(amount_minor=100_00, query_balance_amount="False")
    assert "sufficient_balance" not in answer


def test_a_triggered_refusal_of_a_mandate_query_decides_nothing_else() -> None:
    outcome = ask(
        "query_direct_debit",
        third_party_reference="3".rjust(20, "0"),
        customer_msisdn="2".rjust(12, "0"),
    )
    assert outcome is not None
    assert (outcome.code, dict(outcome.answer)) == ("INS-6", {})


def test_the_answers_of_triggers_are_fields_of_their_operation() -> None:
    for operation in OPERATIONS:
        names = {field.name for field in operation.answer.fields}
        fields = {field.name for field in operation.fields}
        for row in operation.triggers:
            assert row.field in fields
            for outcome in row.outcomes.values():
                assert set(outcome.answer) <= names
        for detail in operation.trigger_details:
            assert detail.answer in names
            assert detail.field in fields
        assert set(operation.trigger_echoes) <= names & fields


@given(st.from_regex(r"[0-9A-Za-z]{1,32}", fullmatch=True))
def test_a_value_with_a_letter_is_never_a_trigger(text: str) -> None:
    if not text.isdigit():
        assert ask("query_transaction_status", query_reference=text) is None
        assert ask("reversal", transaction_id=text) is None


def test_a_request_without_the_field_is_an_ordinary_one() -> None:
    assert ask("direct_debit_payment", msisdn_token="Xq4mT9bKc2RzWv8pLd6NyA==") is None
    assert ask("get_session") is None
