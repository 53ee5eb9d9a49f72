"""Structured logs: one JSON object a line, to standard error, from our modules and libraries."""

import logging
import sys
from collections.abc import Callable, MutableMapping
from typing import Any, Final, TextIO

import msgspec

from pesalango_server.telemetry.lean_structlog import structlog
from pesalango_server.telemetry.masking import mask_text, mask_value

LEVELS: Final = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

# Set by us, never by a caller.
_OWN_FIELDS: Final = frozenset({"timestamp", "level", "process", "component"})

_encode = msgspec.json.Encoder(enc_hook=str).encode

Event = MutableMapping[str, Any]


class PatientFile:
    """Where lines go to, which may be on a disk that is full, or a pipe that nobody reads any more.

    Whoever logs must not fail for that: lines that cannot be written are lost and counted, and the
    count is told with the next one that can be.
    """

    def __init__(self, file: TextIO, *, make_notice: Callable[[int], str]) -> None:
        self._file = file
        self._make_notice = make_notice
        self._unwritten = 0

    def write(self, text: str) -> int:
        """Write whole lines, if that is possible."""
        unwritten = self._unwritten
        try:
            if unwritten:
                # The one before may have been cut off.
                self._file.write(f"\n{self._make_notice(unwritten)}\n")
            self._file.write(text)
            self._file.flush()
        except (OSError, ValueError):
            self._unwritten = unwritten + 1
        else:
            self._unwritten = 0
        return len(text)

    def flush(self) -> None:
        """Every line has been flushed, or cannot be."""


class LineLogger(structlog.WriteLogger):
    """Writes finished lines; knows the component whose they are."""

    def __init__(self, file: PatientFile, component: str) -> None:
        # All that it does with a file is to write and to flush.
        super().__init__(file)  # type: ignore[arg-type]
        self.component = component


def configure_logging(level: str, *, process: str, file: TextIO | None = None) -> None:
    """Have everything that this process logs, libraries included, leave as masked JSON lines.

    `level` is `debug`, `info`, `warning` or `error`; `process` says which process a line is from.
    """

    def make_notice(unwritten: int) -> str:
        notice: Event = {"level": "warning", "event": "log_lines_unwritten", "lines": unwritten}
        structlog.processors.TimeStamper(fmt="iso", utc=True)(None, "warning", notice)
        return render_line(None, "warning", {**notice, "process": process, "component": "log"})

    stream = PatientFile(file or sys.stderr, make_notice=make_notice)

    def add_origin(logger: Any, _method: str, event: Event) -> Event:
        event["process"] = process
        event["component"] = getattr(logger, "component", None) or event.pop("logger", "")
        return event

    before: list[structlog.typing.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Before the masking, so that a trace is masked like everything else.
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*before, add_origin, mask_event, render_line],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *names: LineLogger(stream, str(names[0]) if names else ""),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *before],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                add_origin,
                mask_event,
                render_line,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    # Libraries have the word only when something is wrong; what goes well is ours to tell.
    root.setLevel(max(LEVELS[level], logging.WARNING))


def mask_event(_logger: Any, _method: str, event: Event) -> Event:
    """A processor of structlog: everything that a line holds, masked."""
    for name, value in event.items():
        if name == "event":
            event[name] = mask_text(str(value))
        elif name not in _OWN_FIELDS:
            event[name] = mask_value(name, value)
    return event


def render_line(_logger: Any, _method: str, event: Event) -> str:
    """A processor of structlog, the last one: the line, what happened first."""
    first = {name: event.pop(name) for name in ("timestamp", "level", "event") if name in event}
    return _encode({**first, **event}).decode()
