"""The generated reference pages hold all that the catalog holds."""

import re

import pytest

from pesalango_server.catalog.codes import CODES, NOT_PRODUCED_YET
from pesalango_server.catalog.model import Operation, Producer
from pesalango_server.catalog.questions import accepted_fields
from pesalango_server.catalog.reference import render_codes_markdown, render_operations_markdown
from pesalango_server.catalog.registry import OPERATIONS, answerable_codes

SERVED = ("get_session", "b2c_payment")
BY_NAME = pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)


def section_of(operation: Operation) -> str:
    """The operation's part of the page of operations."""
    page = render_operations_markdown(served=SERVED)
    sections = re.split(r"^## ", page, flags=re.MULTILINE)
    return next(section for section in sections if section.startswith(f"{operation.title}\n"))


def rows_of(text: str) -> list[list[str]]:
    """Cells of all table rows; a pipe in a cell is escaped."""
    return [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in text.splitlines()
        if line.startswith("|")
    ]


@BY_NAME
def test_every_parameter_of_an_operation_has_a_row(operation: Operation) -> None:
    first_cells = [row[0] for row in rows_of(section_of(operation))]
    for field in accepted_fields(operation):
        spellings = ", also ".join(f"`{name}`" for name in (field.wire_name, *field.aliases))
        assert spellings in first_cells


@BY_NAME
def test_every_code_of_an_operation_has_a_row_with_status_text_and_producer(
    operation: Operation,
) -> None:
    rows = rows_of(section_of(operation))
    for code in answerable_codes(operation):
        producer = f"{code.producer}: {code.why}" if code.why else f"{code.producer}"
        row = [f"`{code.code}`", str(code.http_status), code.text, producer]
        assert row in [cells[:4] for cells in rows]


@BY_NAME
def test_every_trigger_of_an_operation_has_a_row(operation: Operation) -> None:
    values = [row[1] for row in rows_of(section_of(operation)) if len(row) == 3]
    for trigger in operation.triggers:
        for digit in (*trigger.outcomes, *trigger.ordinary):
            assert f"`{str(digit).rjust(trigger.length, '0')}`" in values


@BY_NAME
def test_every_field_of_every_answer_has_a_row(operation: Operation) -> None:
    first_cells = [row[0] for row in rows_of(section_of(operation))]
    for answer in (
        operation.answer,
        operation.acknowledgement,
        operation.callback,
        operation.listener_acknowledgement,
    ):
        for field in answer.fields if answer is not None else ():
            assert f"`{field.wire_name}`" in first_cells


def test_every_table_of_the_pages_is_rectangular() -> None:
    for page in (render_operations_markdown(served=SERVED), render_codes_markdown()):
        for table in re.findall(r"(?:^\|.*\n)+", page, flags=re.MULTILINE):
            widths = {len(row) for row in rows_of(table)}
            assert len(widths) == 1, table


def test_headings_of_the_page_of_operations_are_unique() -> None:
    headings = re.findall(r"^#+ .*$", render_operations_markdown(served=SERVED), flags=re.MULTILINE)
    assert len(set(headings)) == len(headings)


def test_every_code_has_a_row_on_the_page_of_codes() -> None:
    rows = rows_of(render_codes_markdown())
    for code in CODES:
        assert [f"`{code.code}`", str(code.http_status), code.text] in [row[:3] for row in rows]


def test_every_code_that_no_check_produces_says_so_on_the_page_of_codes() -> None:
    rows = rows_of(render_codes_markdown())
    for operation in OPERATIONS:
        for code in answerable_codes(operation):
            if code.producer not in {Producer.CHECK, Producer.NOT_YET}:
                assert [
                    operation.title,
                    f"`{code.code}`",
                    code.text,
                    f"{code.producer}",
                    code.why,
                ] in rows


@BY_NAME
def test_what_is_not_served_yet_is_marked(operation: Operation) -> None:
    (row,) = [
        cells
        for cells in rows_of(render_operations_markdown(served=SERVED))
        if cells[0].startswith(f"[{operation.title}]")
    ]
    is_served = operation.name in SERVED
    assert row[-1] == ("yes" if is_served else "not yet")
    assert ("**Not served yet.**" in section_of(operation)) is not is_served


def test_a_code_whose_check_does_not_exist_yet_says_so() -> None:
    page = render_codes_markdown()
    sentence = next(line for line in page.splitlines() if line.startswith("Usage time and limits"))
    for code in NOT_PRODUCED_YET:
        assert f"`{code}`" in sentence
    for cells in rows_of(page):
        if cells[0].isdecimal():
            asked = cells[2].replace("`", "").split(", ")
            assert ("(not asked yet)" in cells[1]) == NOT_PRODUCED_YET.issuperset(asked)


@BY_NAME
def test_a_response_url_is_said_to_be_checked_and_ignored(operation: Operation) -> None:
    meanings = [
        cells[4] for cells in rows_of(section_of(operation)) if cells[0] == "`input_ResponseURL`"
    ]
    assert len(meanings) == operation.can_be_asynchronous
    assert all("checked and otherwise ignored" in meaning for meaning in meanings)


def test_the_pages_are_the_same_every_time() -> None:
    assert render_operations_markdown(served=SERVED) == render_operations_markdown(served=SERVED)
    assert render_codes_markdown() == render_codes_markdown()
