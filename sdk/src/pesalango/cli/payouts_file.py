"""A file of payouts: read and checked as a whole, before the first of them is paid."""

import csv
from collections.abc import Iterator, Sequence
from decimal import Decimal
from io import StringIO
from pathlib import Path
from typing import Final

from msgspec import Struct

from pesalango._errors import ConfigurationError
from pesalango._model import Market
from pesalango.cli.exits import Fault
from pesalango.cli.fields import find_fault

MANDATORY: Final = (
    "key",
    "amount",
    "customer_msisdn",
    "transaction_reference",
    "payment_items_description",
)
OPTIONAL: Final = ("service_provider_code",)
COLUMNS: Final = (*MANDATORY, *OPTIONAL)
FAULTS_SHOWN_MAX: Final = 100


class Row(Struct, gc=False, kw_only=True):
    """One payout; its fields are named as the client's are."""

    line: int
    key: str
    amount: str
    customer_msisdn: str
    transaction_reference: str
    payment_items_description: str
    service_provider_code: str

    def list_values(self) -> dict[str, object]:
        """What `pay_out` takes beside the key."""
        return {
            "amount": self.amount,
            "customer_msisdn": self.customer_msisdn,
            "transaction_reference": self.transaction_reference,
            "payment_items_description": self.payment_items_description,
            "service_provider_code": self.service_provider_code,
        }


class Faults:
    """What is wrong in a file: the first of it, and how much there is."""

    def __init__(self) -> None:
        self.shown: list[Fault] = []
        self.count = 0

    def add(self, line: int, column: str, text: str) -> None:
        self.count += 1
        if len(self.shown) < FAULTS_SHOWN_MAX:
            self.shown.append(Fault(line, column, text))


class PayoutFile(Struct):
    """The rows in which nothing is wrong by themselves; none may be paid where there are faults."""

    rows: list[Row]
    faults: Faults

    @property
    def total(self) -> Decimal:
        """In the market's currency."""
        return sum((Decimal(row.amount) for row in self.rows), Decimal(0))


def read_payouts(path: Path, market: Market, service_provider_code: str) -> PayoutFile:
    """Read a CSV file; `service_provider_code` is that of the rows that have none.

    Raises `ConfigurationError` where it cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as failure:
        raise ConfigurationError(f"{path} cannot be read: {failure.strerror or failure}") from None
    faults = Faults()
    rows: list[Row] = []
    try:
        # Spreadsheets put a mark in front of the first column's name.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as failure:
        faults.add(content.count(b"\n", 0, failure.start) + 1, "", "is not in UTF-8")
        return PayoutFile(rows, faults)
    lines = _split(text, faults)
    header = next(lines, None)
    if header is None:
        faults.add(1, "", f"there is no header; it names {', '.join(MANDATORY)}")
        return PayoutFile(rows, faults)
    columns = header[1]
    if not _check_header(header[0], columns, faults):
        return PayoutFile(rows, faults)
    reader = _RowReader(columns, market, service_provider_code, faults)
    rows.extend(row for row in (reader.read(line, cells) for line, cells in lines) if row)
    if not rows and not faults.count:
        faults.add(1, "", "no payout follows the header")
    return PayoutFile(rows, faults)


def _split(text: str, faults: Faults) -> Iterator[tuple[int, Sequence[str]]]:
    """Lines with their numbers; empty ones are left out."""
    # As it stands, so that a line break within quotes is kept apart from a new line.
    reader = csv.reader(StringIO(text, newline=""), strict=True)
    line = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as failure:
            faults.add(line, "", f"is no CSV: {failure}")
            return
        if cells:
            yield line, cells
        line = reader.line_num + 1


def _check_header(line: int, columns: Sequence[str], faults: Faults) -> bool:
    if len(columns) == 1 and ("key" in columns[0].replace("\t", ";").split(";")):
        faults.add(line, "", "its columns must be parted by commas")
        return False
    before = faults.count
    for number, column in enumerate(columns):
        if column not in COLUMNS:
            faults.add(line, column or f"column {number + 1}", _name_unknown(column))
        elif column in columns[:number]:
            faults.add(line, column, "is there twice")
    for column in MANDATORY:
        if column not in columns:
            faults.add(line, column, "the header lacks this column")
    return faults.count == before


def _name_unknown(column: str) -> str:
    hint = column.strip().lower().replace(" ", "_")
    if hint in COLUMNS:
        return f"is no column; {hint} is one"
    return f"is no column; they are {', '.join(COLUMNS)}"


class _RowReader:
    """Turns the cells of a line into a row, and remembers the keys that were there before."""

    def __init__(
        self, columns: Sequence[str], market: Market, service_provider_code: str, faults: Faults
    ) -> None:
        self._columns = columns
        self._market = market
        self._code = service_provider_code
        self._faults = faults
        self._line_by_key: dict[str, int] = {}

    def read(self, line: int, cells: Sequence[str]) -> Row | None:
        """None where something is wrong with it."""
        if len(cells) != len(self._columns):
            self._faults.add(
                line, "", f"has {len(cells)} cells, and the header {len(self._columns)}"
            )
            return None
        before = self._faults.count
        values = dict(zip(self._columns, cells, strict=True))
        values["service_provider_code"] = values.get("service_provider_code") or self._code
        for name, value in values.items():
            fault = find_fault(name, value, self._market)
            if fault:
                self._faults.add(line, name, fault)
        key = values["key"]
        first = self._line_by_key.setdefault(key, line)
        if first != line and key:
            self._faults.add(line, "key", f"is the key of line {first} too")
        return None if self._faults.count > before else Row(line=line, **values)
