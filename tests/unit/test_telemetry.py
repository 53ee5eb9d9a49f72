"""Logs that keep secrets, and metrics of several processes."""

import errno
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from pesalango_server.telemetry import Metrics, configure_logging, mask_text, mask_value
from pesalango_server.telemetry.masking import is_secret_name
from pesalango_server.telemetry.metrics import SECONDS_BOUNDS

# Made up, in the shape of the real ones.
API_KEY = "k3y0" * 8
SESSION_KEY = "0a1b2c3d" * 4
MSISDN = "255744553111"
CIPHERTEXT = "Q2lwaGVydGV4dA+/" * 43


# --- masking -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "token",
        "api_key",
        "apiKey",
        "APIKey",
        "SessionKey",
        "session-key",
        "Authorization",
        "pin",
        "customer_pin",
        "wrong_pins",
        "password",
        "database_password",
        "clientSecret",
        "private_key",
        "cookie",
        "input_Pin",
    ],
)
def test_a_field_with_a_secret_name_is_masked_whole(name: str) -> None:
    assert is_secret_name(name)
    for value in ("short", 1234, 1.5, True, ["a", "b"], {"x": 1}, b"bytes"):
        assert mask_value(name, value) == "***"
    assert mask_value(name, None) is None


@pytest.mark.parametrize(
    "name", ["monkey", "shipping", "spinning", "keyboard", "tokenizer", "opinion", "worker"]
)
def test_a_name_that_holds_such_letters_by_chance_is_not_secret(name: str) -> None:
    assert not is_secret_name(name)
    assert mask_value(name, "visible") == "visible"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        (MSISDN, "255*******11"),
        (f"+{MSISDN}", "+255*******11"),
        (f"tel:{MSISDN}, then", "tel:255*******11, then"),
        (f"x{MSISDN}y", "x255*******11y"),
        ("0744553111", "074*****11"),
        ("123456789012345", "123**********45"),
        (f"{MSISDN} {MSISDN}", "255*******11 255*******11"),
        ("123456789", "123456789"),
        ("2026-11-24T08:10:20", "2026-11-24T08:10:20"),
        ("1234567890123456", "1234567890123456"),
    ],
)
def test_the_middle_of_a_mobile_number_is_masked_in_any_text(text: str, masked: str) -> None:
    assert mask_text(text) == masked


def test_digits_of_other_scripts_are_no_mobile_number_of_ours() -> None:
    arabic = "".join(chr(0x660 + int(digit)) for digit in MSISDN)
    assert mask_text(arabic) == arabic


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {CIPHERTEXT}",
        "authorization=Basic c2VjcmV0OnNlY3JldA==",
        "Authorization: Bearer first half and second half",
        "GET /x?token=Bearer%20c2VjcmV0&input_Amount=1",
        "Bearer c2VjcmV0",
        '{"token": "c2VjcmV0"}',
        "{'api_key': 'c2VjcmV0'}",
        "apiKey=c2VjcmV0;x",
        "password = c2VjcmV0",
        "the pin: 4711c2VjcmV0",
        "session_id=c2VjcmV0",
        "postgresql://user:c2VjcmV0@host/name",
        "postgresql://user:c2VjcmV0:p@ss@host/name",
        f"key {API_KEY}c2VjcmV0"[:36],
        f"the session {SESSION_KEY}",
        f"a ciphertext {CIPHERTEXT} came",
        "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\nc2VjcmV0\n-----END PRIVATE KEY-----",
        "-----BEGIN RSA PRIVATE KEY-----\nc2VjcmV0",
    ],
)
def test_a_secret_in_a_text_is_masked(text: str) -> None:
    masked = mask_text(text)
    assert "***" in masked
    for secret in ("c2VjcmV0", "second half", API_KEY, SESSION_KEY, CIPHERTEXT, "p@ss"):
        assert secret not in masked


def test_what_is_no_secret_of_a_query_string_stays_readable() -> None:
    masked = mask_text("/x?token=abc&input_Amount=10&input_Country=TZN")
    assert masked == "/x?token=***&input_Amount=10&input_Country=TZN"


def test_masking_goes_into_whatever_is_nested() -> None:
    nested = {"a": [{"b": (MSISDN, {"pin": "1234"})}], MSISDN: 1, "raw": MSISDN.encode()}
    masked = mask_value("request", nested)
    assert masked == {
        "a": [{"b": ["255*******11", {"pin": "***"}]}],
        "255*******11": 1,
        "raw": "255*******11",
    }


def test_what_is_nested_too_deep_is_masked_whole() -> None:
    value: Any = MSISDN
    for _ in range(100):
        value = [value]
    assert MSISDN not in json.dumps(mask_value("request", value))


def test_a_mobile_number_that_became_a_number_is_masked_and_a_time_is_not() -> None:
    assert mask_value("customer", int(MSISDN)) == "255*******11"
    assert mask_value("at_ms", 1_763_971_234_567) == 1_763_971_234_567
    assert mask_value("count", 7) == 7


def test_our_own_references_stay_whole_and_nothing_else_hides_behind_their_names() -> None:
    assert mask_value("conversation_id", SESSION_KEY) == SESSION_KEY
    assert mask_value("conversation_id", f"{MSISDN}, x") == "255*******11, x"


def test_an_object_is_masked_by_its_text() -> None:
    class Customer:
        def __repr__(self) -> str:
            return f"Customer({MSISDN})"

    assert mask_value("who", Customer()) == "Customer(255*******11)"


@given(st.text(), st.text(), st.from_regex(r"[0-9]{10,15}", fullmatch=True))
def test_no_text_around_a_number_lets_it_through(before: str, after: str, number: str) -> None:
    before, after = before.rstrip("0123456789"), after.lstrip("0123456789")
    assert number not in mask_text(f"{before}{number}{after}")


# --- logs ----------------------------------------------------------------------------------------


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """Where this process logs to, until the test is over."""
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    file = io.StringIO()
    yield file
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def read(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


def test_a_line_is_json_and_says_when_where_and_what(lines: io.StringIO) -> None:
    configure_logging("info", process="worker-1", file=lines)
    structlog.get_logger("gateway").info("request_refused", code="INS-20", customer=MSISDN)
    (line,) = read(lines)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    assert line["timestamp"].endswith("Z")
    del line["timestamp"]
    assert line == {
        "level": "info",
        "event": "request_refused",
        "code": "INS-20",
        "customer": "255*******11",
        "process": "worker-1",
        "component": "gateway",
    }


@pytest.mark.parametrize(("level", "count"), [("debug", 4), ("info", 3), ("error", 1)])
def test_the_level_says_what_is_told(lines: io.StringIO, level: str, count: int) -> None:
    configure_logging(level, process="x", file=lines)
    log = structlog.get_logger()
    for method in (log.debug, log.info, log.warning, log.error):
        method("something_happened")
    assert len(read(lines)) == count


def test_a_trace_is_told_and_masked(lines: io.StringIO) -> None:
    configure_logging("info", process="x", file=lines)

    def fail() -> None:
        raise ValueError(f"customer {MSISDN} with api_key={API_KEY}")

    try:
        fail()
    except ValueError as error:
        structlog.get_logger().error("failed", exc_info=error)
    (line,) = read(lines)
    assert "in fail" in line["exception"]
    assert "ValueError: customer 255*******11" in line["exception"]
    assert API_KEY not in lines.getvalue()
    assert MSISDN not in lines.getvalue()


def test_libraries_are_heard_in_the_same_form_when_something_is_wrong(lines: io.StringIO) -> None:
    configure_logging("info", process="x", file=lines)
    logging.getLogger("uvicorn.error").info("all is well")
    logging.getLogger("uvicorn.error").warning("customer %s", MSISDN)
    (line,) = read(lines)
    assert line["event"] == "customer 255*******11"
    assert line["component"] == "uvicorn.error"


def test_a_value_that_is_no_json_is_told_as_text(lines: io.StringIO) -> None:
    configure_logging("info", process="x", file=lines)
    structlog.get_logger().info("odd", path=Path("a/b"), numbers={3}, raw=b"\xff\x00", nan=1e400)
    (line,) = read(lines)
    assert line["path"] == "a/b"
    assert line["numbers"] == [3]


class FullFile(io.StringIO):
    """A file on a disk without room, until there is some."""

    is_full = True

    def write(self, text: str) -> int:
        if self.is_full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(text)


def test_a_log_on_a_full_disk_harms_nobody_and_says_later_how_many_lines_it_lost(
    lines: io.StringIO,  # noqa: ARG001 - puts the logging back in the end
) -> None:
    file = FullFile()
    configure_logging("info", process="x", file=file)
    structlog.get_logger("ours").info("first")
    logging.getLogger("library").error("second")
    file.is_full = False
    structlog.get_logger("ours").info("third")
    structlog.get_logger("ours").info("fourth")

    told = [json.loads(line) for line in file.getvalue().splitlines() if line]
    assert [line["event"] for line in told] == ["log_lines_unwritten", "third", "fourth"]
    assert told[0]["lines"] == 2
    assert told[0]["process"] == "x"


# --- metrics -------------------------------------------------------------------------------------


def samples(page: bytes) -> dict[str, float]:
    rows = [line.rsplit(" ", 1) for line in page.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in rows}


def test_what_was_counted_is_on_the_page() -> None:
    metrics = Metrics()
    counter = metrics.counter("requests", "Requests.", code="INS-0", operation="c2b")
    counter.add()
    counter.add(4)
    metrics.gauge("unanswered", "Commands that wait.").set(7)
    page = samples(metrics.render())
    assert page['pesalango_requests_total{code="INS-0",operation="c2b"}'] == 5
    assert page["pesalango_unanswered"] == 7


def test_counts_are_handed_over_once() -> None:
    metrics = Metrics()
    counter = metrics.counter("requests", "Requests.")
    counter.add(3)
    for _ in range(3):
        metrics.flush()
    counter.add(2)
    assert samples(metrics.render())["pesalango_requests_total"] == 5


def test_a_histogram_counts_up_to_its_bounds() -> None:
    metrics = Metrics()
    latency = metrics.histogram("seconds", "Durations.", bounds=(0.1, 1.0), operation="c2b")
    for value in (0.05, 0.1, 0.5, 3.0, 4.0):
        latency.observe(value)
    metrics.flush()
    latency.observe(0.2)
    page = samples(metrics.render())
    buckets = [page[f'pesalango_seconds_bucket{{le="{le}",operation="c2b"}}'] for le in ("0.1", "1.0", "+Inf")]  # fmt: skip
    assert buckets == [2, 4, 6]
    assert page['pesalango_seconds_count{operation="c2b"}'] == 6
    assert page['pesalango_seconds_sum{operation="c2b"}'] == pytest.approx(7.85)


def test_the_same_metric_is_asked_for_twice() -> None:
    metrics = Metrics()
    assert metrics.counter("a", "A.", x="1") is metrics.counter("a", "A.", x="1")
    assert metrics.counter("a", "A.", x="1") is not metrics.counter("a", "A.", x="2")


def test_gauges_are_set_from_their_source_before_a_page_is_made() -> None:
    metrics, waiting = Metrics(), [1, 2, 3]
    gauge = metrics.gauge("waiting", "What waits.")
    metrics.before_flush(lambda: gauge.set(len(waiting)))
    assert samples(metrics.render())["pesalango_waiting"] == 3


def test_bounds_are_in_order() -> None:
    assert list(SECONDS_BOUNDS) == sorted(set(SECONDS_BOUNDS))


_PROCESS = """
import sys
from pesalango_server.telemetry import Metrics, forget_process
metrics = Metrics()
metrics.counter("requests", "Requests.", code="INS-0").add(int(sys.argv[1]))
metrics.gauge("unanswered", "Commands.").set(int(sys.argv[1]))
metrics.histogram("seconds", "Durations.", bounds=(1.0,)).observe(0.5)
metrics.flush()
if sys.argv[2:]:
    forget_process(int(sys.argv[2]))
print(__import__("os").getpid())
print(metrics.render().decode())
"""


def test_one_page_shows_all_processes(tmp_path: Path) -> None:
    def run(*arguments: str) -> tuple[str, dict[str, float]]:
        result = subprocess.run(
            [sys.executable, "-c", _PROCESS, *arguments],
            env={"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        process, _, page = result.stdout.partition("\n")
        return process, samples(page.strip().encode())

    first, _ = run("3")
    _, page = run("4")
    assert page['pesalango_requests_total{code="INS-0"}'] == 7
    assert page['pesalango_seconds_bucket{le="1.0"}'] == 2
    assert page["pesalango_unanswered"] == 7
    # What waited in a process that has ended waits no longer; what it did is not undone.
    _, page = run("5", first)
    assert page["pesalango_unanswered"] == 9
    assert page['pesalango_requests_total{code="INS-0"}'] == 12


def test_metrics_without_room_for_their_files_are_the_processes_own(tmp_path: Path) -> None:
    # Where each file would be written there is something in the way, as on a disk without room.
    script = (
        "import os, pathlib, sys\n"
        "pathlib.Path(sys.argv[2], f'{os.getpid()}.new').mkdir()\n" + _PROCESS
    )
    result = subprocess.run(
        [sys.executable, "-c", script.replace("sys.argv[2:]", "False"), "3", str(tmp_path)],
        env={**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert "metrics_not_shared" in result.stdout
    assert 'pesalango_requests_total{code="INS-0"} 3.0' in result.stdout
    assert not list(tmp_path.glob("*.db"))
