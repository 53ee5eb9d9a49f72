"""What the README and the guide tell a newcomer to type is typed, word for word."""

import sys
from pathlib import Path

from tests.e2e.samples import find_samples, make_sample_environment, run_sample
from tests.e2e.server import Server

PAGES = (
    "README.md",
    "docs/guide/first-payment.md",
    "docs/guide/outcomes.md",
    "docs/guide/paying-out-and-reversing.md",
    "docs/guide/moving-from-the-published-sdk.md",
)
SAMPLES = find_samples(*PAGES)


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
        "shop.py",
        "the published SDK's way",
        "a customer who thinks",
        "a call that timed out",
    ]


def test_the_samples_do_what_the_pages_say(tmp_path: Path) -> None:
    # One after the other, as they are read: some go on from what others did.
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parents[1])
    # The journal that a client has by default is this test's own.
    environment = make_sample_environment({"XDG_DATA_HOME": str(tmp_path / "data")})
    with Server(tmp_path / "var", settings={"PESALANGO_PLATFORM_KEY_BITS": "2048"}) as server:
        # As `make run` leaves it: `var` with a server's data, `.venv` with its programs.
        server.start()
        for sample in SAMPLES:
            printed = run_sample(sample, tmp_path, environment=environment)
            if sample.name.startswith("first payment"):
                assert "Request processed successfully" in printed
