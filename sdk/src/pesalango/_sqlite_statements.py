"""What a journal's calls are in SQL: any number of them in one transaction."""

import itertools
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

import msgspec

from pesalango._intents import Closing, Intent

SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS intents (
    platform TEXT NOT NULL,
    key TEXT NOT NULL,
    sender TEXT NOT NULL,
    operation TEXT NOT NULL,
    third_party_conversation_id TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,
    created_at TEXT NOT NULL,
    sendings INTEGER NOT NULL,
    closing TEXT,
    PRIMARY KEY (platform, key)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS open_intents ON intents (platform, created_at) WHERE closing IS NULL;
"""
_COLUMNS: Final = "platform, key, sender, operation, body, created_at, sendings, closing"
_FIND: Final = f"SELECT {_COLUMNS} FROM intents WHERE platform = ? AND key = ?"
_LIST_OPEN: Final = f"SELECT {_COLUMNS} FROM intents WHERE platform = ? AND closing IS NULL ORDER BY created_at, key"
# All that threads and tasks ask for at once is one statement each: between two statements the thread
# that makes them would wait for the interpreter, which the event loop has.
_BEGIN: Final = """
INSERT INTO intents (platform, key, sender, operation, third_party_conversation_id, body, created_at,
    sendings)
SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
    json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'),
    json_extract(value, '$[6]'), json_extract(value, '$[7]')
FROM json_each(?) WHERE true
ON CONFLICT (platform, key) DO NOTHING
"""
_COUNT: Final = (
    "UPDATE intents SET sendings = sendings + 1 WHERE platform = ? AND key = ? AND closing IS NULL"
)
_CLOSE: Final = """
UPDATE intents SET closing = json_extract(wanted.value, '$[2]')
FROM json_each(?) AS wanted
WHERE intents.platform = json_extract(wanted.value, '$[0]')
    AND intents.key = json_extract(wanted.value, '$[1]')
    AND closing IS NULL
    AND (json_extract(wanted.value, '$[3]') IS NULL OR sendings = json_extract(wanted.value, '$[3]'))
"""
_FORGET: Final = (
    "DELETE FROM intents WHERE platform = ? AND key = ? AND closing IS NULL AND sendings = ?"
)


class Job:
    """A call of the journal that somebody wants made, and what came of it."""

    __slots__ = ("arguments", "error", "is_done", "keywords", "method", "result")

    def __init__(
        self,
        method: str,
        arguments: Sequence[Any],
        keywords: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        self.method = method
        self.arguments = arguments
        self.keywords = keywords
        self.is_done = False
        self.result: Any = None
        self.error: Exception | None = None


def must_last(job: Job) -> bool:
    """Whether a power cut may not undo it: what was said to have no effect must never have one."""
    if job.method == "close_intent":
        closing: Closing = job.arguments[2]
        return closing.state == "refused"
    return job.method in {"begin", "forget"}


def carry_out(connection: sqlite3.Connection, jobs: Sequence[Job]) -> None:
    """In their order, but for those of one kind that follow each other: these are one statement."""
    for method, some in itertools.groupby(jobs, key=lambda job: job.method):
        together = list(some)
        if method == "begin":
            _begin(connection, together)
        elif method == "close_intent":
            for different in _part_by_name(together):
                _close(connection, different)
        else:
            for job in together:
                job.result = _ACTIONS[method](connection, *job.arguments, **job.keywords)


def _part_by_name(jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
    """In order, and no part with two of one name: of two closings, the first stands."""
    part: list[Job] = []
    names: set[tuple[str, str]] = set()
    for job in jobs:
        name = (job.arguments[0], job.arguments[1])
        if name in names:
            yield part
            part, names = [], set()
        part.append(job)
        names.add(name)
    yield part


def _begin(connection: sqlite3.Connection, jobs: Sequence[Job]) -> None:
    intents: list[Intent] = [job.arguments[0] for job in jobs]
    rows = [
        (
            intent.platform,
            intent.key,
            intent.sender,
            intent.operation,
            intent.third_party_conversation_id,
            msgspec.json.encode(intent.body).decode(),
            intent.created_at.isoformat(),
            intent.sendings,
        )
        for intent in intents
    ]
    inserted = connection.execute(_BEGIN, (msgspec.json.encode(rows).decode(),)).rowcount
    for job, intent in zip(jobs, intents, strict=True):
        if inserted == len(jobs):
            job.result = intent
            continue
        kept = _find(connection, intent.platform, intent.key)
        job.result = kept


def _find(connection: sqlite3.Connection, platform: str, key: str) -> Intent | None:
    row = connection.execute(_FIND, (platform, key)).fetchone()
    return _read(row) if row else None


def _count_sending(connection: sqlite3.Connection, platform: str, key: str) -> Intent | None:
    connection.execute(_COUNT, (platform, key))
    return _find(connection, platform, key)


def _close(connection: sqlite3.Connection, jobs: Sequence[Job]) -> None:
    rows = []
    for job in jobs:
        platform, key, closing = job.arguments
        content = msgspec.json.encode(closing).decode()
        rows.append((platform, key, content, job.keywords["sendings"]))
    closed = connection.execute(_CLOSE, (msgspec.json.encode(rows).decode(),)).rowcount
    for job in jobs:
        if closed == len(jobs):
            job.result = True
            continue
        platform, key, closing = job.arguments
        kept = _find(connection, platform, key)
        # By identity of what was asked: two may want the same end, and both have it then.
        job.result = kept is not None and kept.closing == closing


def _forget(connection: sqlite3.Connection, platform: str, key: str, *, sendings: int) -> bool:
    return connection.execute(_FORGET, (platform, key, sendings)).rowcount > 0


def _list_open(connection: sqlite3.Connection, platform: str) -> Sequence[Intent]:
    return [_read(row) for row in connection.execute(_LIST_OPEN, (platform,))]


def _read(row: Sequence[Any]) -> Intent:
    platform, key, sender, operation, body, created_at, sendings, closing = row
    return Intent(
        platform=platform,
        key=key,
        sender=sender,
        operation=operation,
        body=msgspec.json.decode(body, type=dict[str, str]),
        created_at=datetime.fromisoformat(created_at),
        sendings=sendings,
        closing=msgspec.json.decode(closing, type=Closing) if closing else None,
    )


_ACTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "find": _find,
    "count_sending": _count_sending,
    "forget": _forget,
    "list_open": _list_open,
}
