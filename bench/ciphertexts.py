"""Asks how many payments a second come in when no ciphertext was seen before (P3).

Official clients encrypt their session key anew for every call, with random padding; each costs
the gateway one RSA decryption. What all cores can decrypt is the ceiling, so that is the measure.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path

import msgspec

from bench.books import Check, compare_books, read_books
from bench.decryptions import measure_decryptions
from bench.figures import Spread, measure_spread
from bench.load import GeneratorResult, run_generator
from bench.payments import check_answers
from bench.plan import CONNECTIONS_TOLD, Plan
from bench.progress import say
from bench.server import Server, build_load, encrypt, load_public_key, open_session

SPARE_SHARE = 1.3
"""More ciphertexts than decryptions are expected, lest they run out."""


class CiphertextsResult(msgspec.Struct, frozen=True, kw_only=True):
    connections: int
    decryptions_per_second: Spread
    per_second: Spread
    ratio: Spread
    p99_us: Spread
    openssl: str
    checks: list[Check]


def measure_ciphertexts(server: Server, directory: Path, plan: Plan) -> CiphertextsResult:
    """The customers have to be there already; the pools of ciphertexts go into `directory`."""
    credentials = server.read_credentials()
    before = read_books(server, credentials)
    load = build_load(
        credentials,
        port=server.port,
        connections=CONNECTIONS_TOLD,
        seconds=plan.seconds,
        customers=plan.customers,
    )
    results: list[GeneratorResult] = []
    rates: list[float] = []
    openssl = ""
    for _ in range(plan.rounds):
        decryptions = measure_decryptions(seconds=plan.seconds)
        openssl = decryptions.openssl
        rates.append(decryptions.decryptions_per_second)
        seconds = load.warm_up_seconds + load.seconds
        pool = directory / "ciphertexts"
        write_pool(
            pool,
            secret=open_session(credentials),
            public_key=credentials.sandbox.public_key,
            count=ceil(rates[-1] * seconds * SPARE_SHARE) + load.connections,
        )
        results.append(run_generator(load, fresh_ciphertexts=pool))
        pool.unlink()
        say(f"{results[-1].answers_per_second:,.0f}/s of {rates[-1]:,.0f} decryptions/s")
    accepted = sum(result.accepted for result in results)
    answers = [result.answers_per_second for result in results]
    return CiphertextsResult(
        connections=load.connections,
        decryptions_per_second=measure_spread(rates),
        per_second=measure_spread(answers),
        ratio=measure_spread([each / rate for each, rate in zip(answers, rates, strict=True)]),
        p99_us=measure_spread([result.p99_us for result in results]),
        openssl=openssl,
        checks=[
            check_answers(results),
            compare_books(before, read_books(server, credentials), accepted=accepted),
        ],
    )


def write_pool(file: Path, *, secret: str, public_key: str, count: int) -> None:
    """Distinct ciphertexts of one session or API key, one a line. Raises ValueError if two are equal."""
    key = load_public_key(public_key)
    bearers = {encrypt(secret, key) for _ in range(count)}
    if len(bearers) < count:
        raise ValueError("two encryptions gave the same ciphertext: the padding is not random")
    # Whoever can read it can use the key, for as long as that lives.
    file.touch(mode=0o600)
    file.write_text("\n".join(bearers))
