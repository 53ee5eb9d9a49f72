"""A merchant's program that is killed again and again, at any point of what it does.

    python -m tests.sdk.merchant_program --base-url … --credentials … --journal … --orders 300 \
        --seed 1 --kills 75 --kind tasks

Every life pays orders that are drawn at random, some of which earlier lives began or finished, and
some of which another program pays at the same time; some lives begin by recovering. A life is a
process of its own, forked from this one, which has all imports done, and is killed a while after it
has begun to pay; how long is drawn. `--kills 0` lives once, to the end: it settles everything and pays every order. Prints one
line of JSON at its end: how many lives were killed, and what ended otherwise.
"""

import argparse
import asyncio
import contextlib
import json
import os
import random
import select
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pesalango import AsyncClient, CallError, Client, KeyReusedError, Payment

MARKET = "vodacomTZN"
LIFE_S_MAX = 0.1
"""From its beginning to pay; most of it is killed amid half a dozen payments."""
BEGIN_S_MAX = 20.0
AT_ONCE = 6
TRIES_MAX = 40

Pay = Callable[..., Any]


def plan(number: int) -> tuple[str, dict[str, Any]]:
    """The method and the values of an order: always the same for its number."""
    common = {
        "key": f"order-{number}",
        "amount": 1 + number % 40,
        "transaction_reference": f"Order{number}",
    }
    if number % 3 == 0:
        return "collect", {
            **common,
            "customer_msisdn": "254707161122",
            "service_provider_code": "ORG001",
            "purchased_items_description": "Tea",
        }
    if number % 3 == 1:
        return "pay_out", {
            **common,
            "customer_msisdn": "255744553111",
            "service_provider_code": "ORG001",
            "payment_items_description": "Wages",
        }
    return "pay_business", {
        **common,
        "primary_party_code": "ORG001",
        "receiver_party_code": "ORG002",
        "purchased_items_description": "Beans",
    }


def plan_reversal(number: int, payment: Payment) -> dict[str, Any] | None:
    """Every fourth order is given back in part."""
    if number % 4:
        return None
    return {
        "key": f"back-{number}",
        "transaction_id": payment.transaction_id,
        "reversal_amount": 1,
        "service_provider_code": "ORG001",
    }


def make_options(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "base_url": options.base_url,
        "market": MARKET,
        "journal": options.journal,
        "timeout": 0.4 if options.kills else 30.0,
    }


def live_plainly(options: argparse.Namespace, chance: random.Random) -> None:
    """With threads that share a client."""
    client = Client.from_credentials(options.credentials, **make_options(options))
    with contextlib.suppress(CallError):
        client.open_session()
    tell_begun(options)
    within = 1.0 if options.kills else 60.0
    if not options.kills or chance.random() < 0.3:
        client.payments.recover(within=within)
    orders = iter(draw_orders(options, chance))
    taking = threading.Lock()

    def pay() -> None:
        while True:
            with taking:
                number = next(orders, None)
            if number is None:
                return
            for _ in range(TRIES_MAX):
                try:
                    method, values = plan(number)
                    payment = getattr(client.payments, method)(**values, within=within)
                    back = plan_reversal(number, payment)
                    if back is not None:
                        client.payments.reverse(**back, within=within)
                except CallError:
                    if options.kills:
                        break
                else:
                    break

    threads = [threading.Thread(target=pay, daemon=True) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


async def live_in_tasks(options: argparse.Namespace, chance: random.Random) -> None:
    """With tasks that share a client."""
    client = AsyncClient.from_credentials(options.credentials, **make_options(options))
    with contextlib.suppress(CallError):
        await client.open_session()
    tell_begun(options)
    within = 1.0 if options.kills else 60.0
    if not options.kills or chance.random() < 0.3:
        await client.payments.recover(within=within)
    orders = iter(draw_orders(options, chance))

    async def pay() -> None:
        for number in orders:
            for _ in range(TRIES_MAX):
                try:
                    method, values = plan(number)
                    payment = await getattr(client.payments, method)(**values, within=within)
                    back = plan_reversal(number, payment)
                    if back is not None:
                        await client.payments.reverse(**back, within=within)
                except CallError:
                    if options.kills:
                        break
                else:
                    break

    await asyncio.gather(*[pay() for _ in range(AT_ONCE)])


def tell_begun(options: argparse.Namespace) -> None:
    """From now on a life may be killed."""
    if options.kills:
        os.write(options.begun, b"!")


def draw_orders(options: argparse.Namespace, chance: random.Random) -> list[int]:
    """Those of one life; all of them in the last one."""
    if not options.kills:
        return list(range(options.orders))
    return [chance.randrange(options.orders) for _ in range(100)]


def live(options: argparse.Namespace, seed: str) -> None:
    chance = random.Random(seed)
    if options.kind == "tasks":
        asyncio.run(live_in_tasks(options, chance))
    else:
        live_plainly(options, chance)


def run_child(options: argparse.Namespace, seed: str) -> int:
    """A life in a process of its own; its exit status."""
    try:
        live(options, seed)
    except KeyReusedError as error:
        sys.stderr.write(f"{error}\n")
        return 9
    return 0


def main(options: argparse.Namespace) -> None:
    if not options.kills:
        live(options, f"{options.seed} last")
        sys.stdout.write(json.dumps({"killed": 0, "ended": 1, "failed": 0}))
        return
    # A child's end has to wake the wait below, rather than be ignored.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    chance = random.Random(options.seed)
    counts = {"killed": 0, "ended": 0, "failed": 0}
    while counts["killed"] < options.kills:
        life_s = chance.random() * LIFE_S_MAX
        begun, options.begun = os.pipe()
        child = os.fork()
        if child == 0:
            # Drawn anew in every life; a client's own chance comes from the system.
            os._exit(run_child(options, f"{options.seed} {sum(counts.values())}"))
        os.close(options.begun)
        select.select([begun], [], [], BEGIN_S_MAX)
        os.close(begun)
        signal.sigtimedwait({signal.SIGCHLD}, life_s)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        signal.sigtimedwait({signal.SIGCHLD}, 0)
        if os.WIFSIGNALED(status):
            counts["killed"] += 1
        elif os.waitstatus_to_exitcode(status) == 0:
            counts["ended"] += 1
        else:
            counts["failed"] += 1
            break
    sys.stdout.write(json.dumps(counts))


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-url", required=True)
    parser.add_argument("--credentials", type=Path, required=True)
    parser.add_argument("--journal", type=Path, required=True)
    parser.add_argument("--orders", type=int, required=True)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--kills", type=int, required=True)
    parser.add_argument("--kind", choices=["threads", "tasks"], required=True)
    return parser.parse_args()


if __name__ == "__main__":
    main(parse())
