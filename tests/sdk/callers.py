"""One face for both clients: a test calls by name, and a thread or a loop of its own does the rest.

with Caller("tasks", market="vodafoneGHA", **known(gateway)) as caller:
    answer = caller.call("c2b_single_stage", **PAYMENT)
    waiting = caller.start("c2b_single_stage", **PAYMENT)   # a future; several at once
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Literal, Self

from pesalango import AsyncClient, Client
from tests.sdk.scripted_gateway import ScriptedGateway

Kind = Literal["threads", "tasks"]
KINDS: tuple[Kind, ...] = ("threads", "tasks")
END_TIMEOUT_S = 60.0
CALLS_AT_ONCE = 40

PAYMENT = {
    "amount": "10.00",
    "customer_msisdn": "254707161122",
    "service_provider_code": "ORG001",
    "transaction_reference": "Order3",
    "purchased_items_description": "Two coffees",
}
"""Of a customer to a shop, for `c2b_single_stage`."""


def known(gateway: ScriptedGateway, **options: Any) -> dict[str, Any]:
    """What a client of the scripted gateway is made with."""
    return {
        "base_url": gateway.base_url,
        "api_key": gateway.api_key,
        "public_key": gateway.public_key,
        "market": "vodafoneGHA",
        "timeout": 20.0,
        **options,
    }


class Caller:
    """A program that uses a client from many threads, or from many tasks of one loop."""

    def __init__(self, kind: Kind, client: Any = None, **options: Any) -> None:
        """`client` is one that was made already; else it is made with `options`."""
        self.kind = kind
        self.client: Any = client or get_class(kind)(**options)
        self._threads = ThreadPoolExecutor(CALLS_AT_ONCE, "caller")
        self._loop = asyncio.new_event_loop()
        self._loop_thread = threading.Thread(target=self._loop.run_forever, name="caller's loop")
        if kind == "tasks":
            self._loop_thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.call("close")
        self._threads.shutdown()
        if self.kind == "tasks":
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._loop_thread.join(END_TIMEOUT_S)
        self._loop.close()

    def start(self, method: str, /, *arguments: Any, **values: Any) -> "Future[Any]":
        """Call a method of the client, and come back before it does."""
        return self._start(getattr(self.client, method), *arguments, **values)

    def _start(self, function: Callable[..., Any], *arguments: Any, **values: Any) -> "Future[Any]":
        if self.kind == "threads":
            return self._threads.submit(function, *arguments, **values)

        async def call() -> Any:
            return await function(*arguments, **values)

        coroutine: Coroutine[Any, Any, Any] = call()
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def call_function(self, function: Callable[..., Any]) -> Any:
        """A function of its thread, or a coroutine function of its loop."""
        return self._start(function).result(END_TIMEOUT_S)

    def call(self, method: str, /, *arguments: Any, **values: Any) -> Any:
        """What the method returns or raises."""
        return self.start(method, *arguments, **values).result(END_TIMEOUT_S)

    def pay(self, **changes: Any) -> Any:
        """`PAYMENT`, but for the changes."""
        return self.call("c2b_single_stage", **{**PAYMENT, **changes})

    def start_paying(self, **changes: Any) -> "Future[Any]":
        """As `pay`, without waiting for what comes of it."""
        return self.start("c2b_single_stage", **{**PAYMENT, **changes})


def get_class(kind: Kind) -> Any:
    """The client of a kind."""
    return Client if kind == "threads" else AsyncClient
