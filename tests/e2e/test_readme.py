"""What the README and the guide tell a newcomer to type is typed, word for word."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.samples import ROOT, Sample, find_samples, make_sample_environment, run_sample
from tests.e2e.server import Server

PAGES = (
    "README.md",
    "docs/guide/first-payment.md",
    "docs/guide/outcomes.md",
    "docs/guide/paying-out-and-reversing.md",
    "docs/guide/moving-from-the-published-sdk.md",
    "docs/guide/first-payment-in-python.md",
    "docs/guide/outcomes-in-python.md",
    "docs/guide/going-to-production.md",
    "docs/guide/journal.md",
    "sdk/README.md",
)
CLIENT_PAGES = PAGES[5:]
"""They go by a server of their own: what they pay is counted."""
SAMPLES = find_samples(*PAGES)
TYPED = ("checkout.py", "shop_payments.py", "shop_journal.py")
"""Programs that a type checker is to find no fault with."""


def test_the_samples_are_found() -> None:
    assert [sample.name for sample in SAMPLES] == [
        "first payment with curl",
        "first payment in Python",
        "the customer's side",
        "the customer is as before",
        "first payment in plain Python",
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
        "first payment with the client",
        "a client by hand",
        "a payment by the command",
        "pay many customers",
        "payments in tasks",
        "ask what became of a payment",
        "give a payment back",
        "a customer who declines",
        "checkout.py",
        "every way a payment ends",
        "plain calls",
        "shop_payments.py",
        "settle.py",
        "settle on starting",
        "no secret is logged",
        "orders.py",
        "a customer with 500.00",
        "try again after a timeout",
        "a customer who takes a second",
        "one id for all attempts",
        "crash.py",
        "the process dies",
        "the next start",
        "pay.py",
        "two processes, one order",
        "roads.py",
        "a request that is late",
        "a refusal that says nothing",
        "started elsewhere",
        "a journal that was deleted",
        "two applications and a new key",
        "the status query is off",
        "a payment that is written off",
        "a copy of the journal",
        "shop_journal.py",
        "pay with a journal of your own",
        "a payment by the distribution's page",
    ]


def type_samples(samples: Sequence[Sample], folder: Path) -> None:
    """One after the other, as they are read: some go on from what others did."""
    # As `make run` leaves it: `var` with a server's data, `.venv` with its programs.
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    # The journal that a client has by default, and its settings, are this test's own.
    environment = make_sample_environment(
        {"XDG_DATA_HOME": str(folder / "data"), "XDG_CONFIG_HOME": str(folder / "settings")}
    )
    with Server(folder / "var", settings={"PESALANGO_PLATFORM_KEY_BITS": "2048"}) as server:
        server.start()
        for sample in samples:
            printed = run_sample(sample, folder, environment=environment)
            if sample.name.startswith("first payment") and not sample.prints:
                assert "Request processed successfully" in printed


def test_the_samples_do_what_the_pages_say(tmp_path: Path) -> None:
    type_samples([sample for sample in SAMPLES if sample.page not in CLIENT_PAGES], tmp_path)


@pytest.mark.slow
def test_the_clients_pages_do_what_they_say(tmp_path: Path) -> None:
    type_samples([sample for sample in SAMPLES if sample.page in CLIENT_PAGES], tmp_path)


@pytest.mark.slow
def test_a_type_checker_finds_no_fault_with_the_programs(tmp_path: Path) -> None:
    for sample in SAMPLES:
        if sample.name in TYPED:
            (tmp_path / sample.name).write_text(sample.text, "utf-8")
    (tmp_path / "port.py").write_text(
        "from pathlib import Path\n\nfrom pesalango import Journal\nfrom shop_journal import "
        'ShopJournal\n\njournal: Journal = ShopJournal(Path("shop.db"))\n',
        "utf-8",
    )
    files = [path.name for path in sorted(tmp_path.glob("*.py"))]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file", os.devnull, *files],
        cwd=tmp_path,
        env=make_sample_environment({"MYPYPATH": str(ROOT / "sdk" / "src")}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert f"{len(TYPED) + 1} source files" in done.stdout
