"""What the README and the guide tell a newcomer to type is typed, word for word."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.samples import Sample, find_samples, find_unmarked_blocks, run_sample
from tests.e2e.server import Server

PAGES = (
    "README.md",
    "docs/guide/first-payment.md",
    "docs/guide/outcomes.md",
    "docs/guide/paying-out-and-reversing.md",
)
SAMPLES = find_samples(*PAGES)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder as `make run` leaves it: `var` with a server's data, `.venv` with its programs."""
    place = tmp_path_factory.mktemp("readme")
    (place / ".venv").mkdir()
    (place / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    with Server(place / "var", settings={"PESALANGO_PLATFORM_KEY_BITS": "2048"}) as server:
        server.start()
        yield place


def test_the_samples_are_found() -> None:
    assert [sample.name for sample in SAMPLES] == [
        "first payment with curl",
        "first payment in Python",
        "the customer's side",
        "the customer is as before",
        "customers of your own",
        "gateway.py",
        "a customer who takes time",
        "an answer that is lost",
        "the customer paid once",
        "codes and what is behind them",
        "pay a customer",
        "pay a supplier",
        "give back in part, then the rest",
        "take back what was paid out",
    ]


@pytest.mark.parametrize("page", PAGES)
def test_every_block_of_a_page_is_run(page: str) -> None:
    assert find_unmarked_blocks(page) == []


@pytest.mark.parametrize("sample", SAMPLES, ids=[sample.name for sample in SAMPLES])
def test_a_sample_does_what_the_page_says(sample: Sample, folder: Path) -> None:
    printed = run_sample(sample, folder)
    if sample.name.startswith("first payment"):
        assert "Request processed successfully" in printed
