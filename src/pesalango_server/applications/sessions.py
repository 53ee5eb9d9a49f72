"""Sessions: made by a command, immutable, judged by the worker on arrival."""

from typing import Any, Protocol

import msgspec

from pesalango_server.kernel.message import AnyOutcome, Command, Done
from pesalango_server.storage.database import (
    Read,
    Row,
    Schema,
    Write,
    declare_insert,
    declare_query,
    register_write,
)

KEEP_ENDED_MS = 86_400_000
"""An ended session is remembered for a day, then its row makes room."""

_PURGED_PER_SESSION = 3

FIND_SESSION = declare_query(
    "find_session",
    Schema.ENVIRONMENT,
    columns="ledger, application, live_ms, ends_ms",
    text=(
        "SELECT s.ledger AS ledger, s.application AS application, s.live_ms AS live_ms,"
        " s.ends_ms AS ends_ms FROM {input} CROSS JOIN sessions AS s"
        " WHERE s.key_hash = input.key_hash"
    ),
    set_columns="key_hash hex",
)

INSERT_SESSIONS = declare_insert(
    "sessions",
    Schema.ENVIRONMENT,
    columns="key_hash hex, ledger bigint, application bigint, live_ms bigint, ends_ms bigint",
    order=100,
)

# A row is (ledger, ended before this time, at most this many): whoever makes a session takes a few
# that ended long ago away, so that the table stays as large as the traffic of a day. Only those of
# the same ledger, whose clock may be ahead of another one's.
PURGE_SESSIONS = register_write(
    Write(
        name="purge_sessions",
        schema=Schema.ENVIRONMENT,
        sqlite=(
            "DELETE FROM sessions WHERE key_hash IN (SELECT key_hash FROM sessions"
            " WHERE ledger = ?1 AND ends_ms < ?2 ORDER BY ends_ms, key_hash LIMIT ?3)"
        ),
        postgres=(
            "DELETE FROM sessions WHERE key_hash IN (SELECT old.key_hash FROM"
            " (SELECT ledger, max(before_ms) AS before_ms, sum(rows_max)::bigint AS rows_max"
            " FROM unnest($1::bigint[], $2::bigint[], $3::bigint[])"
            " AS input(ledger, before_ms, rows_max) GROUP BY ledger) AS given"
            " CROSS JOIN LATERAL (SELECT key_hash FROM sessions WHERE ledger = given.ledger"
            " AND ends_ms < given.before_ms ORDER BY ends_ms, key_hash"
            " LIMIT given.rows_max) AS old)"
        ),
        types=("bigint", "bigint", "bigint"),
        order=110,
    )
)

_decode_session = msgspec.json.Decoder(list[tuple[int, int, int, int]]).decode


class Session(msgspec.Struct, frozen=True):
    """A session; times are the ledger's, in milliseconds. Live while live_ms <= t < ends_ms."""

    ledger: int
    application: int
    live_ms: int
    ends_ms: int


class SessionBook(Protocol):
    """What making a session needs of a ledger's book."""

    ledger: int
    now_ms: int

    def write(self, write: Write, row: Row) -> None:
        """Have one more row written with this batch."""
        ...


class CreateSession(Command, frozen=True, tag=40):
    """Make a session; its life is counted from when it becomes live."""

    application: int
    key_hash: str
    activation_delay_ms: int
    life_ms: int


def plan_create_session(command: CreateSession, plan: Any) -> None:
    """A session needs nothing but its ledger."""


def decide_create_session(command: CreateSession, book: SessionBook) -> AnyOutcome:
    """Times of the session, in ledger time: (live_ms, ends_ms)."""
    live_ms = book.now_ms + command.activation_delay_ms
    ends_ms = live_ms + command.life_ms
    book.write(
        INSERT_SESSIONS, (command.key_hash, book.ledger, command.application, live_ms, ends_ms)
    )
    book.write(PURGE_SESSIONS, (book.ledger, book.now_ms - KEEP_ENDED_MS, _PURGED_PER_SESSION))
    return Done((live_ms, ends_ms))


def read_session(key_hash: str) -> Read:
    """The read that finds a session by the hash of its key."""
    return Read(FIND_SESSION, rows=[(key_hash,)])


def decode_session(document: bytes) -> Session | None:
    """The session in the answer of `read_session`."""
    rows = _decode_session(document)
    return Session(*rows[0]) if rows else None
