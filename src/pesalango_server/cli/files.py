"""Lists from files: CSV with a line of column names, or JSON."""

import csv
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pesalango_server.admin.errors import AdminError, explain_document
from pesalango_server.cli.failures import CommandFailed

T = TypeVar("T")

LIST_COLUMNS = ("products",)
"""Columns whose cells are lists; their items are parted by blanks."""


def read_items(path: Path, type_: type[T], *, name: str) -> list[T]:
    """The items of a file: JSON (a list, or an object with the list as `name`) or CSV.

    Raises `CommandFailed`, saying in which line or item what is wrong.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror or error}") from error
    if path.suffix.lower() == ".json":
        return _read_json(path, content, type_, name)
    if path.suffix.lower() == ".csv":
        return _read_csv(path, content, type_)
    raise CommandFailed(f"{path} is neither .csv nor .json; name it after what it is")


def _read_json(path: Path, content: bytes, type_: type[T], name: str) -> list[T]:
    try:
        if content.lstrip()[:1] == b"{":
            content = bytes(msgspec.json.decode(content, type=dict[str, msgspec.Raw])[name])
        items: list[T] = msgspec.json.decode(content, type=list[type_])  # type: ignore[valid-type]
    except KeyError:
        raise CommandFailed(f"{path} has no list named {name}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CommandFailed(f"{path}: {_describe(explain_document(error))}") from None
    return items


def _read_csv(path: Path, content: bytes, type_: type[T]) -> list[T]:
    try:
        # Spreadsheets put a mark in front of the first column's name.
        rows = csv.DictReader(content.decode("utf-8-sig").splitlines(), strict=True)
        return [_convert(path, rows.line_num, row, type_) for row in rows]
    except UnicodeDecodeError:
        raise CommandFailed(f"{path} is not in UTF-8") from None
    except csv.Error as error:
        raise CommandFailed(f"{path} is no CSV: {error}") from None


def _convert(path: Path, line: int, row: dict[Any, Any], type_: type[T]) -> T:
    if None in row or None in row.values():
        raise CommandFailed(f"{path}, line {line}: its cells are not as many as the column names")
    fields = {
        column.strip(): cell.split() if column.strip() in LIST_COLUMNS else cell
        for column, cell in row.items()
        if cell
    }
    try:
        return msgspec.convert(fields, type_)
    except msgspec.ValidationError as error:
        raise CommandFailed(f"{path}, line {line}: {_describe(explain_document(error))}") from None


def _describe(error: AdminError) -> str:
    return f"{error.message} ({error.field})" if error.field else error.message
