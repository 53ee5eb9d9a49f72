"""Asks how many payments a second come in when each has a session of its own (P3b).

Each is two calls, getSession and the payment, and each of them costs the gateway one RSA decryption:
half of what all cores can decrypt is the ceiling. API keys are encrypted beforehand, all differently.
Session keys cannot be: the load generator encrypts them, at its own expense.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path

from bench.ciphertexts import SPARE_SHARE, write_pool
from bench.comparison import Comparison, Sample, Turn, sum_up
from bench.decryptions import measure_decryptions
from bench.load import run_generator
from bench.payments import compare_payments
from bench.plan import CONNECTIONS_TOLD, DECRYPTIONS, NEW_SESSIONS, Plan
from bench.server import Server, build_load

DECRYPTIONS_PER_PAYMENT = 2


def measure_sessions(server: Server, directory: Path, plan: Plan) -> Comparison:
    """The customers have to be there already; the pools of ciphertexts go into `directory`."""
    credentials = server.read_credentials()
    access = credentials.sandbox
    pool, key = directory / "api-keys", directory / "public-key"
    key.write_text(access.public_key)
    load = build_load(
        credentials,
        port=server.port,
        connections=CONNECTIONS_TOLD,
        seconds=plan.turn_seconds,
        customers=plan.customers,
    )
    limit = measure_decryptions(seconds=1.0).decryptions_per_second / DECRYPTIONS_PER_PAYMENT

    def pay() -> Sample:
        seconds = load.warm_up_seconds + load.seconds
        write_pool(
            pool,
            secret=access.api_key,
            public_key=access.public_key,
            count=ceil(limit * seconds * SPARE_SHARE) + load.connections,
        )
        try:
            return sum_up([run_generator(load, fresh_ciphertexts=pool, session_key=key)])
        finally:
            pool.unlink()

    def decrypt() -> Sample:
        measured = measure_decryptions(seconds=plan.turn_seconds)
        return Sample(value=measured.decryptions_per_second)

    turns = [Turn(DECRYPTIONS, decrypt), Turn(NEW_SESSIONS, pay)]
    return compare_payments(
        server,
        turns,
        plan,
        note=f"{CONNECTIONS_TOLD} connections; the p99 is that of both calls together.",
    )
