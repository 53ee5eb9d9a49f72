"""Whether the platform's database is right: its trail of changes is whole, nothing points nowhere."""

import msgspec

from pesalango_server.kernel.violations import Violation, Violations
from pesalango_server.storage.database import (
    Scan,
    Schema,
    SnapshotReader,
    declare_scan,
    register_scan,
)

VIOLATIONS_KEPT_MAX = 100

_PLATFORM = Schema.PLATFORM
_GUARDED_AGAINST = ("UPDATE", "DELETE", "TRUNCATE")

SCAN_EVENT_GUARDS = register_scan(
    Scan(
        name="scan_event_guards",
        schema=_PLATFORM,
        sqlite=(
            "SELECT e.event FROM sqlite_schema AS t CROSS JOIN (SELECT 'UPDATE' AS event,"
            " 'UPDATE' AS verb UNION ALL SELECT 'DELETE', 'DELETE' UNION ALL SELECT 'TRUNCATE',"
            " 'DELETE') AS e WHERE t.type = 'trigger' AND t.tbl_name = 'audit_events'"
            " AND t.sql NOT LIKE '% WHEN %'"
            " AND t.sql LIKE '%BEFORE ' || e.verb || ' ON audit_events%RAISE(ABORT%'"
        ),
        postgres=(
            "SELECT e.name FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid"
            " CROSS JOIN (VALUES ('DELETE', 8), ('UPDATE', 16), ('TRUNCATE', 32)) AS e(name, bit)"
            " WHERE t.tgrelid = 'audit_events'::regclass AND t.tgenabled IN ('O', 'A')"
            " AND t.tgtype & 2 <> 0 AND t.tgtype & e.bit <> 0 AND t.tgqual IS NULL"
            " AND p.prosrc LIKE '%RAISE EXCEPTION%'"
        ),
    )
)

SCAN_EVENTS = declare_scan(
    "scan_events",
    _PLATFORM,
    "SELECT id, generation, token, time_ms FROM audit_events ORDER BY id",
)

SCAN_PLATFORM_STATE = declare_scan(
    "scan_platform_state",
    _PLATFORM,
    "SELECT generation, last_time_ms, last_id FROM platform_state ORDER BY id",
)

SCAN_STRAYS = declare_scan(
    "scan_strays",
    _PLATFORM,
    "SELECT 'an application has a place in no world' AS what, e.application AS id"
    " FROM application_environments AS e LEFT JOIN worlds AS w"
    " ON w.id = e.world AND w.environment = e.environment WHERE w.id IS NULL"
    " UNION ALL SELECT 'a place in a world belongs to no application', e.application"
    " FROM application_environments AS e LEFT JOIN applications AS a ON a.id = e.application"
    " WHERE a.id IS NULL"
    " UNION ALL SELECT 'an API key belongs to no application', k.application"
    " FROM api_keys AS k LEFT JOIN applications AS a ON a.id = k.application"
    " WHERE a.id IS NULL ORDER BY what, id",
)


class PlatformAudit(msgspec.Struct, frozen=True):
    """What was checked, and what was found; see `payments.audit.EnvironmentAudit`."""

    generations: int
    events: int
    violations: list[Violation]
    violations_found: int


def audit_platform(
    reader: SnapshotReader, *, violations_kept_max: int = VIOLATIONS_KEPT_MAX
) -> PlatformAudit:
    """Check the trail of changes and what refers to what. Raises `StorageUnavailable`.

    Each batch leaves one generation and at least one event, in order of ids and times; the last
    ones are those that the platform's state names.
    """
    violations = Violations(kept_max=violations_kept_max)
    guards = {event for page in reader.scan(SCAN_EVENT_GUARDS) for (event,) in page}
    for event in _GUARDED_AGAINST:
        if event not in guards:
            violations.add(0, 11, f"nothing guards audit_events against {event}")
    events, generation, token, time_ms, last_id = 0, 0, b"", 0, 0
    for page in reader.scan(SCAN_EVENTS):
        for event_id, event_generation, event_token, event_ms in page:
            events += 1
            if event_generation not in (generation, generation + 1):
                violations.add(0, 12, "the generations have a gap", event_id)
            elif (event_generation == generation) is not (event_token == token):
                violations.add(0, 12, "a generation is not that of one batch", event_id)
            if event_ms < time_ms:
                violations.add(0, 12, "an event is earlier than the one before it", event_id)
            generation, token = event_generation, event_token
            time_ms, last_id = event_ms, event_id
    states = [tuple(row) for page in reader.scan(SCAN_PLATFORM_STATE) for row in page]
    if states != [(generation, time_ms, last_id)]:
        violations.add(0, 12, "the events do not end where the platform stands", last_id)
    for page in reader.scan(SCAN_STRAYS):
        for what, stray in page:
            violations.add(0, 12, what, stray)
    return PlatformAudit(generation, events, violations.kept, violations.found)
