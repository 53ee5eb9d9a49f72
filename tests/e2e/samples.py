"""The samples of the pages, found by the marks in front of them, and typed word for word.

    <!-- runs: NAME -->     the block below is run, in the order of the page
    <!-- file: NAME -->     it is written to a file of that name, for the samples that follow
    <!-- stays: NAME -->    it is started, and runs until the test ends it
    <!-- prints -->         what the block above prints; `…` stands for anything within a line,
                            and alone on a line for any number of lines
    <!-- not run: WHY -->   it needs what no test has

Blanks are compared as one, so that the width of a column is no part of a page.
"""

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec
import psutil

from tests.e2e.http_client import call
from tests.e2e.server import (
    END_TIMEOUT_S,
    find_ports,
    make_environment,
    wait_until,
    wait_until_gone,
)

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60.0
PORT_TRIES = 5
"""For a sample that is told ports that were free: others may be quicker to take them."""

_SAMPLE = re.compile(
    r"<!-- (?P<kind>runs|file|stays): (?P<name>.+?) -->\n"
    r"```(?P<language>sh|python)\n(?P<text>.*?)```\n"
    r"(?:\n<!-- prints -->\n```text\n(?P<prints>.*?)```\n)?",
    re.DOTALL,
)
_BLOCK = re.compile(r"(?P<before>[^\n]*)\n```(?:sh|python)\n(?P<text>.*?)```", re.DOTALL)
_MARK = re.compile(r"<!-- (?:(?:runs|file|stays|not run): .+?) -->")


class Sample(msgspec.Struct, frozen=True):
    """One block of a page; `prints` is empty where the page does not say."""

    page: str
    kind: str
    name: str
    language: str
    text: str
    prints: str

    def with_places(self, places: Mapping[str, str]) -> "Sample":
        """The same with addresses and directories of this run instead of those of the page."""
        text, prints = self.text, self.prints
        for said, meant in places.items():
            text, prints = text.replace(said, meant), prints.replace(said, meant)
        return msgspec.structs.replace(self, text=text, prints=prints)


def find_samples(*pages: str) -> list[Sample]:
    """All marked samples of pages, by their path in the repository."""
    return [
        Sample(page=page, **{name: found or "" for name, found in match.groupdict().items()})
        for page in pages
        for match in _SAMPLE.finditer((ROOT / page).read_text("utf-8"))
    ]


def find_unmarked_blocks(page: str) -> list[str]:
    """First lines of the blocks that no mark stands before; the verbs of make need none."""
    return [
        match["text"].splitlines()[0]
        for match in _BLOCK.finditer((ROOT / page).read_text("utf-8"))
        if not _MARK.fullmatch(match["before"]) and not match["text"].startswith("make ")
    ]


def make_command(sample: Sample) -> list[str]:
    """How the sample is started."""
    if sample.language == "python":
        return [sys.executable, "-c", sample.text]
    return ["bash", "-euo", "pipefail", "-c", sample.text]


def make_sample_environment(
    changes: Mapping[str, str], *, programs: Sequence[Path] = ()
) -> dict[str, str]:
    """This process's environment with `programs` in front of all others, and this interpreter's."""
    folders = [*map(str, programs), str(Path(sys.executable).parent), os.environ.get("PATH", "")]
    return make_environment({"PATH": os.pathsep.join(folders), **changes})


def run_sample(
    sample: Sample,
    folder: Path,
    *,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> str:
    """What the sample prints in `folder`; it must succeed, and print what the page says."""
    if sample.kind == "file":
        (folder / sample.name).write_text(sample.text, "utf-8")
        return ""
    done = subprocess.run(
        make_command(sample),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        stdin=subprocess.DEVNULL,
        env=dict(environment) if environment is not None else None,
    )
    assert done.returncode == 0, f"{sample.page}, {sample.name}: {done.stdout}\n{done.stderr}"
    if sample.prints:
        assert prints_as_said(sample.prints, done.stdout), f"{sample.prints}\n{done.stdout}"
    return done.stdout


class PortTaken(AssertionError):
    """Somebody else has taken a port since it was found free: try with another one."""


@contextlib.contextmanager
def leave_running(
    sample: Sample, folder: Path, *, port: int, environment: Mapping[str, str]
) -> Iterator[None]:
    """A sample that runs until it is told to stop, ready to take payments at `port` meanwhile.

    Raises `PortTaken`.
    """
    log_path = folder / "log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            make_command(sample),
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )

    def is_told_ready() -> bool:
        with contextlib.suppress(OSError):
            return call("GET", f"http://127.0.0.1:{port}/health/ready", timeout_s=2.0)[0] == 200
        return False

    def is_ready() -> bool:
        if process.poll() is not None:
            said = log_path.read_text("utf-8", "replace")
            raise (PortTaken if "Address already in use" in said else AssertionError)(said)
        if not is_told_ready():
            return False
        # Before the sample listens the answer may be that of a server of another test.
        started = psutil.Process(process.pid)
        return port in find_ports([started, *started.children(recursive=True)]) and is_told_ready()

    family: list[psutil.Process] = []
    try:
        wait_until(is_ready, timeout_s=TIMEOUT_S, what="/health/ready")
        family = psutil.Process(process.pid).children(recursive=True)
        yield
    finally:
        process.send_signal(signal.SIGTERM)  # to one that has ended it does nothing
        process.wait(END_TIMEOUT_S)
        wait_until_gone(family, timeout_s=END_TIMEOUT_S)
    assert process.returncode == 0


def prints_as_said(said: str, printed: str) -> bool:
    """Whether what was printed is what the page has."""
    expected, found = (_join_blanks(text) for text in (said, printed))
    lines = [r"(?:.*\n)*" if line == "…" else f"{line}\n" for line in map(_escape, expected)]
    return re.fullmatch("".join(lines), "".join(f"{line}\n" for line in found)) is not None


def _escape(line: str) -> str:
    return line if line == "…" else re.escape(line).replace("…", ".*")


def _join_blanks(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.strip().splitlines()]
