"""The guide to outcomes says what the catalog says, and the ledger's states have their words."""

import re

import pytest

from docs import generate
from pesalango_server.catalog.codes import CODES_BY_CODE
from pesalango_server.catalog.model import Producer, Retry
from pesalango_server.catalog.registry import answerable_codes, find
from pesalango_server.gateway.operations import ROUTED
from pesalango_server.gateway.operations.query_transaction_status import STATUS_TEXTS

PAGE = generate.OUTCOMES.read_text("utf-8")


def read_table(name: str) -> dict[str, list[str]]:
    """The rows of a table of the page, by the code in their first cell."""
    _, _, rest = PAGE.partition(f"<!-- table: {name} -->")
    table, found, _ = rest.partition(f"<!-- end of {name} -->")
    assert found
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.split("\n")]
    return {row[0].strip("`"): row for row in rows if row and row[0].startswith("`")}


def test_the_tables_of_the_guide_are_those_of_the_catalog() -> None:
    assert generate.fill_tables(PAGE, generate.TABLES) == PAGE


def test_a_table_without_a_place_is_noticed() -> None:
    page = PAGE.replace("<!-- end of session -->", "")
    with pytest.raises(ValueError, match="the table session"):
        generate.fill_tables(page, generate.TABLES)


def test_every_code_of_a_served_operation_has_its_row() -> None:
    tables = {
        "get_session": read_table("session"),
        "query_transaction_status": read_table("status query"),
    }
    for name in ROUTED:
        table = tables.get(name, read_table("payments"))
        for code in answerable_codes(find(name)):
            if code.producer is not Producer.NOTHING:
                row = table[code.code]
                assert str(code.http_status) in row[1].split(", ")


def test_no_row_tells_to_send_again_what_may_have_moved_money() -> None:
    for code, (_, _, _, money, advice) in read_table("payments").items():
        retry = CODES_BY_CODE[code].retry
        assert ("**unknown**" in money) == (retry is Retry.ASK)
        assert ("did not move" in money) == (not retry.may_have_moved_money)
        assert advice.startswith("The same request again") == retry.may_be_resent_unchanged


def test_every_status_of_a_payment_is_explained() -> None:
    explained = set(re.findall(r"^\| `([A-Z][a-z]+)` \|", PAGE, re.MULTILINE))
    assert explained == set(STATUS_TEXTS.values())
