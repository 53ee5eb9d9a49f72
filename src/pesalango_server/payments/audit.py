"""Whether the books of an environment are right: the invariants of ARCHITECTURE.md, recomputed.

The audit believes nothing but the tables, and reads one snapshot of them from end to end.
"""

import msgspec

from pesalango_server.kernel.violations import Violation, Violations
from pesalango_server.payments import audit_reads
from pesalango_server.payments.audit_ledger import LedgerAudit, LedgerFigures
from pesalango_server.payments.duplicates import DuplicateKeys
from pesalango_server.storage.database import SnapshotReader

VIOLATIONS_KEPT_MAX = 100

INVARIANTS = (1, 2, 3, 4, 6, 7, 11, 12)
"""Those whose subject exists so far."""

_APPEND_ONLY = ("payments", "payment_changes", "transfers", "reversals", "batches")
_GUARDED_AGAINST = ("UPDATE", "DELETE", "TRUNCATE")


class EnvironmentAudit(msgspec.Struct, frozen=True):
    """What was checked, a ledger at a time, and what was found.

    `violations` has at most `violations_kept_max` of the `violations_found`.
    """

    ledgers: list[LedgerFigures]
    violations: list[Violation]
    violations_found: int


def audit_environment(
    reader: SnapshotReader,
    *,
    duplicate_keys: DuplicateKeys | None,
    violations_kept_max: int = VIOLATIONS_KEPT_MAX,
) -> EnvironmentAudit:
    """Check every ledger. Raises `StorageUnavailable`.

    Without `duplicate_keys` (the installation's secret) the keys themselves are not recomputed;
    that no two payments share a conversation id is then shown from the payments alone.
    """
    violations = Violations(kept_max=violations_kept_max)
    _check_guards(reader, violations)
    for page in reader.scan(audit_reads.SCAN_STATELESS_LEDGERS):
        for (ledger,) in page:
            violations.add(ledger, 12, "a ledger has no state")
    states = [row for page in reader.scan(audit_reads.SCAN_LEDGERS) for row in page]
    # A prompt is late by the time at which some engine of this environment last worked: while no
    # server runs nothing falls due.
    alive_ms = max((row[2] - row[1] for row in states), default=0)
    ledgers = [
        LedgerAudit(
            reader,
            state,
            alive_ms=alive_ms,
            duplicate_keys=duplicate_keys,
            violations=violations,
        ).run()
        for state in states
    ]
    return EnvironmentAudit(ledgers, violations.kept, violations.found)


def _check_guards(reader: SnapshotReader, violations: Violations) -> None:
    there = {tuple(row) for page in reader.scan(audit_reads.SCAN_GUARDS) for row in page}
    for table in _APPEND_ONLY:
        for event in _GUARDED_AGAINST:
            if (table, event) not in there:
                violations.add(0, 11, f"nothing guards {table} against {event}")
