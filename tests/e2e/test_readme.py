"""What the README and the first guide tell a newcomer to type is typed, word for word."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.server import Server

ROOT = Path(__file__).resolve().parents[2]
_SAMPLE = re.compile(r"<!-- runs: (.+?) -->\n```(sh|python)\n(.*?)```", re.DOTALL)


def find_samples(*pages: Path) -> list[tuple[str, str, str]]:
    """(name, language, text) of every sample of some pages that says it runs."""
    return [match for page in pages for match in _SAMPLE.findall(page.read_text("utf-8"))]


SAMPLES = find_samples(ROOT / "README.md", ROOT / "docs" / "guide" / "first-payment.md")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Server]]:
    """A folder as `make run` leaves it: `var` with a server's data, `.venv` with its programs."""
    place = tmp_path_factory.mktemp("readme")
    (place / ".venv").mkdir()
    (place / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    with Server(place / "var") as server:
        server.start()
        yield place, server


def test_the_samples_are_found() -> None:
    assert [name for name, _, _ in SAMPLES] == [
        "first payment with curl",
        "first payment in Python",
        "the customer's side",
        "the customer is as before",
        "customers of your own",
    ]


@pytest.mark.parametrize("sample", SAMPLES, ids=[name for name, _, _ in SAMPLES])
def test_a_sample_does_what_the_page_says(
    sample: tuple[str, str, str], folder: tuple[Path, Server]
) -> None:
    place, _ = folder
    name, language, text = sample
    command = ["bash", "-euo", "pipefail", "-c", text]
    if language == "python":
        command = [sys.executable, "-c", text]
    done = subprocess.run(
        command, cwd=place, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    if name.startswith("first payment"):
        assert "Request processed successfully" in done.stdout
