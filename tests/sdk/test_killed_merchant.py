"""A merchant's program is killed at random, again and again, behind a network that cuts.

In the end the ledger has every payment that was meant once at most, and the journal says of each
what the ledger says. `MERCHANT_KILLS` says how often; continuous integration kills a thousand times.
"""

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pesalango import Closing
from pesalango_server.ledger.statuses import State
from tests.e2e.books import find_violations, read_books
from tests.e2e.server import Server
from tests.sdk.cutting_proxy import CuttingProxy
from tests.sdk.merchant_program import plan

KILLS = int(os.environ.get("MERCHANT_KILLS", "60"))
PROGRAMS = ("threads", "tasks")
TIMEOUT_S = 500.0
FATES = {"drop": 0.05, "cut": 0.06, "cut_half": 0.03, "delay": 0.05, "keep": 0.06}


def start(
    kind: str, *, kills: int, orders: int, base_url: str, server: Server, journal: Path
) -> Any:
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "tests.sdk.merchant_program"),
            *("--base-url", base_url, "--journal", str(journal), "--orders", str(orders)),
            *("--credentials", str(server.data_dir / "credentials.json")),
            *("--seed", f"{kind} of {kills}", "--kills", str(kills), "--kind", kind),
        ],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(program: Any) -> dict[str, int]:
    said, complaint = program.communicate(timeout=TIMEOUT_S)
    assert program.returncode == 0, complaint
    counts: dict[str, int] = json.loads(said)
    assert counts["failed"] == 0, complaint
    return counts


@pytest.mark.slow
@pytest.mark.parametrize(("database", "kills"), [(None, KILLS), ("postgres", KILLS // 5)])
def test_no_payment_is_lost_or_made_twice(tmp_path: Path, database: str | None, kills: int) -> None:
    settings = {"PESALANGO_PLATFORM_KEY_BITS": "2048"}
    with Server(tmp_path / "var", database=database, settings=settings) as server:
        server.start()
        kill_and_judge(server, tmp_path, kills)


def kill_and_judge(server: Server, tmp_path: Path, kills: int) -> None:
    journal, orders = tmp_path / "journal.db", 2 * kills
    known: dict[str, Any] = {"orders": orders, "server": server, "journal": journal}
    with CuttingProxy(server.port, seed=kills, late_ms_max=400, delay_ms_max=500, **FATES) as proxy:
        programs = [
            start(kind, kills=kills // len(PROGRAMS), base_url=proxy.base_url, **known)
            for kind in PROGRAMS
        ]
        lives = Counter[str]()
        for program in programs:
            lives.update(finish(program))
        assert lives["killed"] >= kills // len(PROGRAMS) * len(PROGRAMS)
        counts = proxy.read_counts()
        proxy.let_everything_through()
        finish(start("tasks", kills=0, base_url=proxy.base_url, **known))
    # All that can go wrong did, in runs that are long enough for it.
    fates = ("dropped", "cut", "cut_half", "delayed", "kept")
    assert kills < 50 or all(counts[fate] for fate in fates), (counts, lives)
    assert any(counts[fate] for fate in fates), (counts, lives)
    assert server.audit().returncode == 0
    with server.open_books() as ask:
        books = read_books(ask)
    assert find_violations(books) == []
    judge(read_journal(journal), books, orders)


def read_journal(path: Path) -> dict[str, tuple[str, dict[str, str], Closing | None, int]]:
    """Key, body, closing and sendings of every intent, by its ThirdPartyConversationID."""
    connection = sqlite3.connect(path)
    try:
        rows = connection.execute(
            "SELECT third_party_conversation_id, key, body, closing, sendings FROM intents"
        ).fetchall()
    finally:
        connection.close()
    return {
        identity: (
            key,
            msgspec.json.decode(body, type=dict[str, str]),
            msgspec.json.decode(closing, type=Closing) if closing else None,
            sendings,
        )
        for identity, key, body, closing, sendings in rows
    }


def judge(
    intents: dict[str, tuple[str, dict[str, str], Closing | None, int]], books: Any, orders: int
) -> None:
    """The ledger's payments and the journal's intents are the same, one for one."""
    state_of = {payment.id: payment.state for payment in books.payments}
    state_of.update({payment: state for _, payment, _, state, _ in books.changes})
    recorded: dict[str, list[Any]] = {}
    for payment in books.payments:
        recorded.setdefault(payment.third_party_conversation_id, []).append(payment)
    own = {identity: payments for identity, payments in recorded.items() if identity in intents}
    # Nothing is in the ledger that no intent stands for: `up` takes one payment of its own.
    assert len(recorded) - len(own) <= 2
    assert all(len(payments) == 1 for payments in own.values())
    for identity, (key, body, closing, sendings) in intents.items():
        assert closing is not None, (key, sendings)
        (payment,) = own.get(identity, [None])
        is_completed = payment is not None and state_of[payment.id] == State.COMPLETED
        assert is_completed == (closing.state == "completed"), (key, closing, payment)
        if payment is not None and "input_Amount" in body:
            assert payment.amount_minor == 100 * int(body["input_Amount"])
    keys = Counter(key for key, *_ in intents.values())
    assert set(keys.values()) == {1}
    assert {f"order-{number}" for number in range(orders)} <= set(keys)
    assert all(
        intent[2] is not None and intent[2].state == "completed"
        for intent in intents.values()
        if intent[0].startswith("order-")
    )
    # Some were taken up by a later life, or the test would show nothing.
    assert any(sendings > 1 for *_, sendings in intents.values())
    assert plan(0)[1]["key"] in keys
