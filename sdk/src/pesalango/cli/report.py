"""The report of a file of payouts: a line for each row, readable by its owner alone.

It says what the journal says. A report that was lost is made again by running the command again.
"""

import contextlib
import csv
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from pesalango._errors import ConfigurationError
from pesalango._intents import Payment

State = Literal["completed", "refused", "open", "unpaid"]

COLUMNS: Final = ("key", "state", "transaction_id", "code", "text", "third_party_conversation_id")


class Outcome(Struct, gc=False, frozen=True, kw_only=True):
    """What became of a row."""

    state: State
    """`unpaid`: nothing is recorded of it anywhere, and the next run pays it."""
    transaction_id: str = ""
    code: str = ""
    text: str = ""
    third_party_conversation_id: str = ""

    @classmethod
    def of(cls, payment: Payment, *, text: str = "") -> "Outcome":
        """As the journal has it."""
        return cls(
            state=payment.state,
            transaction_id=payment.transaction_id,
            code=payment.code,
            text=payment.text or text,
            third_party_conversation_id=payment.third_party_conversation_id,
        )


def check_report(path: Path, payouts: Path) -> None:
    """See before the first payment that a report can be written. Raises `ConfigurationError`."""
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"the report {path} would take the place of what is no file")
    if path.exists() and path.samefile(payouts):
        raise ConfigurationError(f"the report would take the place of the payouts: {path}")
    with _explaining(path):
        opened, name = _make_file(path)
        os.close(opened)
        Path(name).unlink()


def write_report(path: Path, lines: Iterable[tuple[str, Outcome]]) -> None:
    """Replace the report at once: nobody sees half of one. Raises `ConfigurationError`."""
    with _explaining(path):
        opened, name = _make_file(path)
        try:
            with os.fdopen(opened, "w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file)
                writer.writerow(COLUMNS)
                writer.writerows(
                    (
                        key,
                        outcome.state,
                        outcome.transaction_id,
                        outcome.code,
                        outcome.text,
                        outcome.third_party_conversation_id,
                    )
                    for key, outcome in lines
                )
                file.flush()
                os.fsync(file.fileno())
            Path(name).replace(path)
        except BaseException:
            with contextlib.suppress(OSError):
                Path(name).unlink()
            raise


def _make_file(path: Path) -> tuple[int, str]:
    # With O_EXCL and the mode 0600 from its making.
    return tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)


@contextlib.contextmanager
def _explaining(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as failure:
        raise ConfigurationError(
            f"the report {path} cannot be written: {failure.strerror or failure}"
        ) from None
