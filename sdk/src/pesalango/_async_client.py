"""The asynchronous client: any number of tasks of one event loop may share one."""

import asyncio
import os
import time
from collections.abc import Generator, Sequence
from inspect import iscoroutinefunction
from pathlib import Path
from typing import Any, Self, cast

import httpx2

from pesalango._answers import Reply
from pesalango._async_connections import AsyncConnections, GivenAsyncClient
from pesalango._calls import AsyncCalls
from pesalango._client import LIFETIME_S, TIMEOUT_S, check_within, find_default_journal
from pesalango._credentials import read_credentials
from pesalango._errors import AuthenticationError, CallError, ConfigurationError, PesalangoError
from pesalango._flow import (
    CallOptions,
    NeedSession,
    Pause,
    Send,
    call_flow,
    check_options,
    fill_in,
    session_flow,
)
from pesalango._intents import AsyncJournal, Journal, Payment
from pesalango._journal_tasks import JournalTasks
from pesalango._model import Environment, Market, Operation
from pesalango._payment_calls import AsyncPaymentCalls
from pesalango._recovery import recover_flow
from pesalango._session import Session, SessionKeeper
from pesalango._settlement import Ask, Settling
from pesalango._sqlite_journal import SqliteJournal, resolve_path
from pesalango._transport import (
    Platform,
    check_seconds,
    explain_failure,
    make_ssl_context,
)


class AsyncPayments(AsyncPaymentCalls):
    """Payments that are kept in a journal, each under a key of the caller's: `client.payments`."""

    def __init__(self, client: "AsyncClient", journal: AsyncJournal) -> None:
        self.journal = journal
        """Where the intents are."""
        self._client = client
        self._platform = client._platform  # noqa: SLF001
        self._settling = Settling(self._platform, time.monotonic)

    async def _pay(
        self,
        operation: Operation,
        key: str,
        values: dict[str, object],
        options: CallOptions,
        within: float | None,
    ) -> Payment:
        flow = self._settling.pay(operation, key, values, options, check_within(within))
        payment: Payment = await self._client._run(flow, self.journal)  # noqa: SLF001
        return payment

    async def find(self, key: str) -> Payment | None:
        """As `Payments.find`."""
        intent = await self.journal.find(self._platform.digest, key)
        return Payment.of(intent) if intent else None

    async def list_open(self) -> list[Payment]:
        """As `Payments.list_open`."""
        intents = await self.journal.list_open(self._platform.digest)
        return [Payment.of(intent) for intent in intents]

    async def write_off(self, *, key: str, reason: str) -> Payment:
        """As `Payments.write_off`."""
        flow = self._settling.write_off(key, reason)
        payment: Payment = await self._client._run(flow, self.journal)  # noqa: SLF001
        return payment

    async def recover(self, *, within: float | None = None) -> list[Payment]:
        """As `Payments.recover`."""
        client = self._client
        flow = recover_flow(
            self._settling, self._platform.digest, time.monotonic, check_within(within)
        )
        payments: list[Payment] = await client._run(flow, self.journal)  # noqa: SLF001
        return payments


class AsyncClient(AsyncCalls):
    """`Client` for tasks: the same parameters, the same methods, awaited.

    * `journal`: a path, a `Journal` (its calls are made by a thread), or an `AsyncJournal`.
    * `http_client`: an `httpx2.AsyncClient` of yours; you close it.

    It belongs to the event loop in which it is first used. Raises `ConfigurationError`.
    """

    def __init__(
        self,
        *,
        base_url: str,
        api_key: str,
        public_key: str,
        market: str,
        environment: Environment = "sandbox",
        origin: str = "*",
        timeout: float = TIMEOUT_S,
        session_lifetime: float = LIFETIME_S,
        certificate_file: str | Path | None = None,
        journal: Journal | AsyncJournal | str | Path | None = None,
        former_api_keys: Sequence[str] = (),
        http_client: httpx2.AsyncClient | None = None,
    ) -> None:
        self._platform = Platform(
            base_url=base_url,
            api_key=api_key,
            public_key=public_key,
            market=market,
            environment=environment,
            origin=origin,
            timeout_s=timeout,
            former_api_keys=former_api_keys,
        )
        check_seconds("session_lifetime", session_lifetime)
        if http_client is not None and certificate_file is not None:
            raise ConfigurationError("certificate_file belongs into the http_client that is given")
        self._given_client = (
            None if http_client is None else GivenAsyncClient(http_client, time.monotonic)
        )
        self._trusted = make_ssl_context(certificate_file)
        self._connections: AsyncConnections | None = None
        self._keeper = SessionKeeper(lifetime_s=session_lifetime)
        self._pid = os.getpid()
        self._fetching = asyncio.Lock()
        self._journal = journal if not isinstance(journal, str | Path) else resolve_path(journal)
        self._own_journal: SqliteJournal | None = None
        self._tasks: JournalTasks | None = None
        self._payments: AsyncPayments | None = None

    @classmethod
    def from_credentials(
        cls,
        path: str | Path,
        *,
        market: str,
        environment: Environment = "sandbox",
        **options: Any,
    ) -> Self:
        """As `Client.from_credentials`."""
        found = read_credentials(path, environment)
        options.setdefault("base_url", found.base_url)
        if options.get("http_client") is None:
            options.setdefault("certificate_file", found.certificate_file)
        return cls(
            api_key=found.api_key,
            public_key=found.public_key,
            market=market,
            environment=environment,
            **options,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._platform.root!r})"

    @property
    def market(self) -> Market:
        """Country and currency of the requests."""
        return self._platform.market

    @property
    def payments(self) -> AsyncPayments:
        """Payments that are never lost: each has a key of yours, and a place in the journal."""
        if self._payments is None:
            self._payments = AsyncPayments(self, self._open_journal())
        return self._payments

    def _open_journal(self) -> AsyncJournal:
        journal = self._journal
        if journal is None or isinstance(journal, str | Path):
            journal = self._own_journal = SqliteJournal(
                find_default_journal() if journal is None else journal
            )
        if iscoroutinefunction(journal.begin):
            return cast("AsyncJournal", journal)
        self._tasks = JournalTasks(cast("Journal", journal))
        return self._tasks

    async def open_session(self) -> None:
        """Have a session now, rather than at the first call. Raises `CallError`."""
        await self._find_session(None)

    async def close(self) -> None:
        """Let go of connections and of a journal that was opened here. Another call opens anew."""
        self._check_process()
        connections, self._connections = self._connections, None
        tasks, self._tasks = self._tasks, None
        journal, self._own_journal = self._own_journal, None
        self._payments = None
        if connections is not None:
            await connections.aclose()
        if tasks is not None:
            await tasks.close()
        if journal is not None:
            journal.close()

    async def _call(
        self, operation: Operation, values: dict[str, object], options: CallOptions
    ) -> Any:
        check_options(options)
        body = fill_in(self._platform, operation, values, options.extra_fields)
        return await self._run(call_flow(self._platform, operation, body, options, time.monotonic))

    async def _run(
        self, flow: Generator[Any, Any, Any], journal: AsyncJournal | None = None
    ) -> Any:
        """Carry out the steps of a flow, to its end."""
        self._check_process()
        outcome: Any = None
        error: PesalangoError | None = None
        while True:
            try:
                step = flow.send(outcome) if error is None else flow.throw(error)
            except StopIteration as end:
                return end.value
            outcome, error = None, None
            try:
                outcome = await self._carry_out(step, journal)
            except PesalangoError as failure:
                error = failure

    async def _carry_out(self, step: Any, journal: AsyncJournal | None) -> Any:
        if isinstance(step, Send):
            return await self._send(step)
        if isinstance(step, NeedSession):
            return await self._find_session(step.refused)
        if isinstance(step, Ask):
            return await getattr(journal, step.method)(*step.arguments, **step.keywords)
        if isinstance(step, Pause):
            await asyncio.sleep(step.seconds)
            return None
        raise TypeError(f"no step of a flow: {step!r}")

    async def _send(self, send: Send) -> Reply:
        try:
            return await self._find_connections().exchange(send)
        except CallError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001 - whatever it is, the request may have left
            error = explain_failure(failure, send.timeout_s)
        # Raised out here, or it would carry the request, and with it a bearer, as its context.
        raise error

    def _check_process(self) -> None:
        """In a process that was forked, begin anew: connections and locks are its parent's."""
        if self._pid == os.getpid():
            return
        self._connections = None
        self._fetching = asyncio.Lock()
        self._pid = os.getpid()

    def _find_connections(self) -> AsyncConnections | GivenAsyncClient:
        if self._given_client is not None:
            return self._given_client
        if self._connections is None:
            self._connections = AsyncConnections(self._trusted, time.monotonic)
        return self._connections

    async def _find_session(self, refused: Session | None) -> Session:
        now = time.monotonic()
        session = self._keeper.find(refused=refused, now=now)
        if session is not None:
            return session
        ending = self._keeper.find_ending(refused=refused, now=now)
        # While one task renews a session that is still good, the others go on with it.
        if ending is not None and self._fetching.locked():
            return ending
        async with self._fetching:
            session = self._keeper.find(refused=refused, now=time.monotonic())
            if session is not None:
                return session
            try:
                bearer = await self._run(session_flow(self._platform))
            except AuthenticationError:
                raise
            except CallError:
                if ending is not None and time.monotonic() < ending.ends_at:
                    return ending
                raise
            return self._keeper.keep(bearer, refused=refused, now=time.monotonic())
