"""Columns as array literals: PostgreSQL reads what was meant, whatever is in it."""

from collections.abc import Iterator, Sequence
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pesalango_server.ledger.statuses import State
from pesalango_server.storage.arrays import encode_array
from tests.store.postgres_fixture import PostgresServer

NUMBERS = st.integers(-(2**63), 2**63 - 1)
# PostgreSQL's texts hold everything but NUL.
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
AWKWARD_TEXTS = st.sampled_from(
    ["", "NULL", "null", "{}", ",", '"', "\\", "\\n", "\n", "\x7f", "é"]
)
HEX = st.binary(max_size=4).map(bytes.hex)


@pytest.fixture(scope="module")
def connection(postgres_server: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(postgres_server.bundled.url, autocommit=True) as connection:
        yield connection


def read_back(connection: psycopg.Connection[Any], values: Sequence[Any], kind: str) -> list[Any]:
    literal = encode_array(values, kind).decode()
    column = "bytea" if kind == "hex" else kind
    row = connection.execute(f"SELECT %s::{column}[]", (literal,)).fetchone()
    assert row is not None
    found: list[Any] = row[0]
    return found


@given(values=st.lists(st.none() | NUMBERS))
def test_numbers_are_read_back(connection: psycopg.Connection[Any], values: list[Any]) -> None:
    assert read_back(connection, values, "bigint") == values


@given(values=st.lists(st.none() | TEXTS | AWKWARD_TEXTS))
def test_texts_are_read_back(connection: psycopg.Connection[Any], values: list[Any]) -> None:
    assert read_back(connection, values, "text") == values


@given(values=st.lists(st.none() | HEX))
def test_bytes_are_read_back(connection: psycopg.Connection[Any], values: list[Any]) -> None:
    expected = [None if value is None else bytes.fromhex(value) for value in values]
    assert read_back(connection, values, "hex") == expected


def test_a_state_is_its_number(connection: psycopg.Connection[Any]) -> None:
    assert read_back(connection, [State.COMPLETED], "bigint") == [int(State.COMPLETED)]
