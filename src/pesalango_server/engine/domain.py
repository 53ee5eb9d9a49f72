"""What a database's commands have in common for the engine: how a batch of them is carried out."""

from collections.abc import Sequence
from typing import Protocol

from pesalango_server.kernel.message import AnyOutcome, Command
from pesalango_server.storage.database import Read, Row, Write


class BatchWork(Protocol):
    """One batch of one domain: the steps, in the order in which the engine takes them."""

    wall_ms: int

    @property
    def reads(self) -> list[Read]:
        """The lock, alone, and then everything that the commands need."""
        ...

    def load(self, documents: Sequence[bytes]) -> None:
        """Take in the answers of `reads`."""
        ...

    def decide(self, command: Command) -> AnyOutcome:
        """Decide one command; those before it have been decided."""
        ...

    def close(self, token: str) -> list[tuple[Write, Sequence[Row]]]:
        """Everything to write, the record of the batch and its `token` included."""
        ...

    def find(self, token: str) -> Read:
        """The read that finds the record of this batch, if it was committed."""
        ...


class Domain(Protocol):
    """A kind of database: an environment's ledgers, or the platform."""

    def start(self, commands: Sequence[Command], *, wall_ms: int | None) -> BatchWork:
        """Plan a batch; `wall_ms` None means the database's own time. No commands: a probe."""
        ...
