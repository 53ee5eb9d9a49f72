"""Metrics that cost a hot path an addition; Prometheus sees them once a second.

A metric is a plain number of one thread. `Metrics.flush` hands what was added since to
prometheus-client, which keeps it in a file that all processes of the server share (its
multiprocess mode, directory `PROMETHEUS_MULTIPROC_DIR`); any process can render the whole page.
The variable has to be set before the first flush.

The files are mapped into memory, where a page for which the disk has no room ends the process. So
their room is taken beforehand; where there is none, a process keeps its metrics to itself.
"""

import contextlib
import os
import shutil
import tempfile
import threading
from bisect import bisect_left
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, TypeVar

from pesalango_server.telemetry.lean_structlog import get_logger

SECONDS_BOUNDS: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0
)  # fmt: skip
"""Upper bounds of the buckets for durations, in seconds."""

SIZE_BOUNDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""Upper bounds of the buckets for numbers of things."""

FLUSH_S: Final = 1.0

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_DIRECTORY_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"

_FILE_KINDS: Final = ("counter", "gauge_livesum", "histogram")
_FILE_BYTES: Final = 512 * 1024
"""Several times what all operations, codes and environments take up together."""

log = get_logger("metrics")


@contextlib.contextmanager
def hold_metrics_dir() -> Iterator[None]:
    """Where all processes of this server keep their counters; it goes with the server, however far
    the start came. Before the first metric is made.

    Without room for it each process keeps its own to itself. Directories of others stay, dead ones
    too: whose one is cannot be told for certain.
    """
    os.environ.pop(_DIRECTORY_VARIABLE, None)
    try:
        directory = tempfile.mkdtemp(prefix=f"pesalango-metrics-{os.getpid()}-")
    except OSError:
        yield
        return
    os.environ[_DIRECTORY_VARIABLE] = directory
    try:
        yield
    finally:
        shutil.rmtree(directory, ignore_errors=True)


T = TypeVar("T")


class Counter:
    """Something that only grows."""

    __slots__ = ("_flushed", "_sink", "value")

    def __init__(self, sink: Any) -> None:
        self.value = 0
        self._flushed = 0
        self._sink = sink

    def add(self, number: int = 1) -> None:
        """Count."""
        self.value += number

    def flush(self) -> None:
        """Hand over what was counted since."""
        value = self.value
        if value != self._flushed:
            self._sink.inc(value - self._flushed)
            self._flushed = value


class Gauge:
    """Something that goes up and down."""

    __slots__ = ("_flushed", "_sink", "value")

    def __init__(self, sink: Any) -> None:
        self.value = 0.0
        self._flushed: float | None = None
        self._sink = sink

    def set(self, value: float) -> None:
        """How much it is now."""
        self.value = value

    def flush(self) -> None:
        """Hand over how much it is."""
        value = self.value
        if value != self._flushed:
            self._sink.set(value)
            self._flushed = value


class Histogram:
    """How often something was how large."""

    __slots__ = ("_bounds", "_flushed", "_flushed_total", "_sink", "counts", "total")

    def __init__(self, sink: Any, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._sink = sink
        # The last one is for what is above all bounds.
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0
        self._flushed = [0] * (len(bounds) + 1)
        self._flushed_total = 0.0

    def observe(self, value: float) -> None:
        """Count one of this size."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def flush(self) -> None:
        """Hand over what was observed since."""
        counts, total = self.counts.copy(), self.total
        if counts == self._flushed:
            return
        # The library can observe one value at a time only; its buckets are what it would add to.
        for bucket, count, flushed in zip(
            self._sink._buckets,  # noqa: SLF001
            counts,
            self._flushed,
            strict=True,
        ):
            if count != flushed:
                bucket.inc(count - flushed)
        self._sink._sum.inc(total - self._flushed_total)  # noqa: SLF001
        self._flushed, self._flushed_total = counts, total


class Metrics:
    """All metrics of one process.

    Each metric belongs to the thread that uses it; making and flushing them is safe from any.
    """

    def __init__(self) -> None:
        _take_room()
        # Imported here, because the library looks for its directory while it is imported.
        import prometheus_client  # noqa: PLC0415
        import prometheus_client.multiprocess  # noqa: PLC0415 - now, while files can be opened

        self._library = prometheus_client
        self._registry = prometheus_client.CollectorRegistry()
        self._families: dict[str, Any] = {}
        self._metrics: dict[tuple[str, tuple[tuple[str, str], ...]], Any] = {}
        self._sources: list[Callable[[], None]] = []
        self._lock = threading.Lock()

    def counter(self, name: str, documentation: str, **labels: str) -> Counter:
        """The counter `pesalango_<name>_total` with these labels; the same one when asked again."""
        make = self._library.Counter
        return self._find(name, documentation, labels, make, Counter)

    def gauge(self, name: str, documentation: str, **labels: str) -> Gauge:
        """The gauge `pesalango_<name>`; processes that have ended no longer count."""

        def make(*args: Any, **options: Any) -> Any:
            return self._library.Gauge(*args, multiprocess_mode="livesum", **options)

        return self._find(name, documentation, labels, make, Gauge)

    def histogram(
        self, name: str, documentation: str, *, bounds: tuple[float, ...], **labels: str
    ) -> Histogram:
        """The histogram `pesalango_<name>`; `bounds` are the upper ones, ascending."""

        def make(*args: Any, **options: Any) -> Any:
            return self._library.Histogram(*args, buckets=bounds, **options)

        return self._find(name, documentation, labels, make, lambda sink: Histogram(sink, bounds))

    def _find(
        self,
        name: str,
        documentation: str,
        labels: dict[str, str],
        make_family: Callable[..., Any],
        make_metric: Callable[[Any], T],
    ) -> T:
        key = (name, tuple(sorted(labels.items())))
        with self._lock:
            known: T | None = self._metrics.get(key)
            if known is None:
                family = self._families.get(name)
                if family is None:
                    family = self._families[name] = make_family(
                        f"pesalango_{name}", documentation, tuple(labels), registry=self._registry
                    )
                known = make_metric(family.labels(**labels) if labels else family)
                self._metrics[key] = known
            return known

    def before_flush(self, source: Callable[[], None]) -> None:
        """Have `source` set gauges from what is true at that moment, before each flush."""
        self._sources.append(source)

    def flush(self) -> None:
        """Hand everything to Prometheus; meant to be called once a second, and when scraped."""
        for source in self._sources:
            source()
        with self._lock:
            metrics = list(self._metrics.values())
            for metric in metrics:
                metric.flush()

    def flush_in_background(self) -> None:
        """Flush once a second in a thread, for a process without an event loop to do it."""
        pause = threading.Event()

        def run() -> None:
            while not pause.wait(FLUSH_S):
                self.flush()

        threading.Thread(target=run, name="metrics", daemon=True).start()

    def render(self) -> bytes:
        """The page for Prometheus: this process's metrics, or all processes' in a shared directory.

        Its type is `CONTENT_TYPE`.
        """
        self.flush()
        registry = self._registry
        if _DIRECTORY_VARIABLE in os.environ:
            registry = self._library.CollectorRegistry()
            self._library.multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return bytes(self._library.generate_latest(registry))


def _take_room() -> None:
    """Make this process's files whole before the library maps them, or do without the directory."""
    directory = os.environ.get(_DIRECTORY_VARIABLE)
    if directory is None:
        return
    fresh = Path(directory, f"{os.getpid()}.new")
    try:
        for kind in _FILE_KINDS:
            path = Path(directory, f"{kind}_{os.getpid()}.db")
            if not path.exists():
                # Written, not only made that long: a file with holes has no room yet. Under a name
                # that other processes do not read until it is whole.
                fresh.write_bytes(bytes(_FILE_BYTES))
                fresh.rename(path)
    except OSError as error:
        del os.environ[_DIRECTORY_VARIABLE]
        log.warning("metrics_not_shared", reason=str(error))
        with contextlib.suppress(OSError):
            fresh.unlink(missing_ok=True)


def forget_process(process_id: int) -> None:
    """Leave the gauges of a process that has ended out of the page; its counters stay.

    The library has a function for it, which needs descriptors that may not be left.
    """
    directory = os.environ.get(_DIRECTORY_VARIABLE)
    if directory is not None:
        with contextlib.suppress(OSError):
            Path(directory, f"gauge_livesum_{process_id}.db").unlink(missing_ok=True)
