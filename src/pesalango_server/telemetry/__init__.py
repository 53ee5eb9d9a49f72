"""What the server tells its operator: logs with secrets masked, and metrics of all processes."""

from pesalango_server.telemetry.lean_structlog import get_logger
from pesalango_server.telemetry.logs import configure_logging, mask_event
from pesalango_server.telemetry.masking import mask_text, mask_value
from pesalango_server.telemetry.metrics import (
    Counter,
    Gauge,
    Histogram,
    Metrics,
    forget_process,
    hold_metrics_dir,
)
from pesalango_server.telemetry.now_and_then import NowAndThen

__all__ = [
    "Counter",
    "Gauge",
    "Histogram",
    "Metrics",
    "NowAndThen",
    "configure_logging",
    "forget_process",
    "get_logger",
    "hold_metrics_dir",
    "mask_event",
    "mask_text",
    "mask_value",
]
