"""PostgreSQL array literals of whole columns, built here because it is on the hot path.

`unnest` over a handful of literals costs half of what the driver's own lists cost for the same
rows, and one statement carries any number of them.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

_encode_json = msgspec.json.Encoder().encode


def _quote(value: Any) -> str:
    if value is None:
        return "NULL"
    return '"' + str(value).replace("\\", "\\\\").replace('"', '\\"') + '"'


def encode_array(values: Sequence[Any], kind: str) -> bytes:
    """One column as an array literal; `kind` is `bigint`, `text` or `hex` (text of bytes)."""
    if kind == "hex":
        body = ",".join(["NULL" if value is None else f'"\\\\x{value}"' for value in values])
        return f"{{{body}}}".encode()
    # A JSON array says the same in other brackets (numbers, nulls, quoted texts), and is encoded in
    # a fifth of the time. Only what it escapes it escapes in ways of its own.
    cells = _encode_json(values)[1:-1]
    if kind == "text" and b"\\" in cells:
        return ("{" + ",".join([_quote(value) for value in values]) + "}").encode()
    return b"{%b}" % cells


def encode_columns(rows: Sequence[Sequence[Any]], types: Sequence[str]) -> list[bytes]:
    """Rows turned into one array literal a column."""
    if not rows:
        return [b"{}"] * len(types)
    columns = zip(*rows, strict=True)
    return [encode_array(column, kind) for column, kind in zip(columns, types, strict=True)]


def encode_scalar(value: Any) -> bytes | None:
    """A single parameter in text form."""
    return None if value is None else str(value).encode()
