"""Refusals in the log: told, and not told too often."""

from structlog.testing import capture_logs

from pesalango_server.gateway.refusal_log import KINDS_MAX, RefusalLog


def refuse(refusals: RefusalLog, code: str = "INS-20", reason: str = "missing") -> None:
    refusals.add(environment="sandbox", operation="c2b_single_stage", code=code, reason=reason)


def test_the_first_refusal_of_a_kind_is_told_at_once() -> None:
    refusals = RefusalLog()
    with capture_logs() as lines:
        refuse(refusals)
    assert lines == [
        {
            "event": "request_refused",
            "log_level": "info",
            "environment": "sandbox",
            "operation": "c2b_single_stage",
            "code": "INS-20",
            "reason": "missing",
        }
    ]


def test_a_flood_is_two_lines_a_second() -> None:
    refusals = RefusalLog()
    with capture_logs() as lines:
        for _ in range(10_000):
            refuse(refusals)
        refuse(refusals, code="INS-21")
        refusals.report()
        refusals.report()
    assert [line["event"] for line in lines] == [
        "request_refused",
        "request_refused",
        "requests_refused",
    ]
    assert lines[-1]["count"] == 9_999


def test_kinds_are_bounded_too() -> None:
    refusals = RefusalLog()
    with capture_logs() as lines:
        for number in range(KINDS_MAX + 500):
            refuse(refusals, reason=str(number))
    assert len(lines) == KINDS_MAX
