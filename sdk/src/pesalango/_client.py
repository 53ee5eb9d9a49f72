"""The plain client: any number of threads may share one."""

import os
import threading
import time
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Self

import httpx2

from pesalango._answers import Reply
from pesalango._calls import Calls
from pesalango._connections import Connections, GivenClient
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
from pesalango._intents import Journal, Payment
from pesalango._model import Environment, Market, Operation
from pesalango._payment_calls import PaymentCalls
from pesalango._recovery import recover_flow
from pesalango._session import Session, SessionKeeper
from pesalango._settlement import WITHIN_S, Ask, Settling
from pesalango._sqlite_journal import SqliteJournal, resolve_path
from pesalango._transport import (
    Platform,
    check_seconds,
    explain_failure,
    make_ssl_context,
)

TIMEOUT_S = 90.0
"""Longer than a gateway waits for its customer."""
LIFETIME_S = 3600.0


def find_default_journal() -> Path:
    """Where a journal lies if nobody says: with the user's data, whatever the directory is."""
    data = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "pesalango" / "journal.db"


class Payments(PaymentCalls):
    """Payments that are kept in a journal, each under a key of the caller's: `client.payments`."""

    def __init__(self, client: "Client", journal: Journal) -> None:
        self.journal = journal
        """Where the intents are."""
        self._client = client
        self._platform = client._platform  # noqa: SLF001
        self._settling = Settling(self._platform, time.monotonic)

    def _pay(
        self,
        operation: Operation,
        key: str,
        values: dict[str, object],
        options: CallOptions,
        within: float | None,
    ) -> Payment:
        flow = self._settling.pay(operation, key, values, options, check_within(within))
        payment: Payment = self._client._run(flow, self.journal)  # noqa: SLF001
        return payment

    def find(self, key: str) -> Payment | None:
        """What the journal says of a key; asks nobody. None if it is free. Raises `JournalError`."""
        intent = self.journal.find(self._platform.digest, key)
        return Payment.of(intent) if intent else None

    def list_open(self) -> list[Payment]:
        """What is not settled yet, by the journal, oldest first. Raises `JournalError`."""
        intents = self.journal.list_open(self._platform.digest)
        return [Payment.of(intent) for intent in intents]

    def write_off(self, *, key: str, reason: str) -> Payment:
        """Close an open payment as refused, because you know that it did not and will not happen.

        For what can never be found out, such as a payment that was refused in every sending after
        its first answer was lost. Ask the operator first: nothing is asked or sent here, and a
        request that arrives after all moves money. The key stays used, and `reason` is kept.
        Raises `ValueError` where the payment is not open, `JournalError`.
        """
        flow = self._settling.write_off(key, reason)
        payment: Payment = self._client._run(flow, self.journal)  # noqa: SLF001
        return payment

    def recover(self, *, within: float | None = None) -> list[Payment]:
        """Settle everything that is open: what a program that was killed left behind.

        Call it when a program starts, and from time to time. What never reached the gateway is
        paid now. Returns what was open, oldest first, as it is now; a payment that stays open says
        why in its `text`. `within` is in seconds, 120 where it is left out. Raises `JournalError`.
        """
        client = self._client
        flow = recover_flow(
            self._settling, self._platform.digest, time.monotonic, check_within(within)
        )
        payments: list[Payment] = client._run(flow, self.journal)  # noqa: SLF001
        return payments


def check_within(within: float | None) -> float:
    """Raises `ConfigurationError` unless it is a time."""
    if within is None:
        return WITHIN_S
    check_seconds("within", within)
    return within


class Client(Calls):
    """A merchant's way to one gateway, environment and market.

    * `base_url`: scheme, host and port; what comes before `/sandbox` or `/openapi`.
    * `api_key`, `public_key`: as the portal shows them.
    * `market`: its name in the path, such as `vodafoneGHA`.
    * `origin`: the header Origin; one that the application admits.
    * `timeout`: seconds that a request may wait for its answer.
    * `session_lifetime`: seconds that the application's session keys are good for.
    * `certificate_file`: authorities (PEM) to be trusted beside the system's.
    * `journal`: where `payments` keeps its intents: a path, or your own `Journal`. Without it, in
      the user's data directory (`~/.local/share/pesalango/journal.db`).
    * `former_api_keys`: of the same application, while payments that were sent with them are open.
    * `http_client`: an `httpx2.Client` of yours; you close it.

    Raises `ConfigurationError`. Threads may share it.
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
        journal: Journal | str | Path | None = None,
        former_api_keys: Sequence[str] = (),
        http_client: httpx2.Client | None = None,
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
            None if http_client is None else GivenClient(http_client, time.monotonic)
        )
        self._trusted = make_ssl_context(certificate_file)
        self._connections: Connections | None = None
        self._pid = os.getpid()
        self._keeper = SessionKeeper(lifetime_s=session_lifetime)
        self._fetching = threading.Lock()
        self._making = threading.Lock()
        self._journal = journal if not isinstance(journal, str | Path) else resolve_path(journal)
        self._payments: Payments | None = None

    @classmethod
    def from_credentials(
        cls,
        path: str | Path,
        *,
        market: str,
        environment: Environment = "sandbox",
        **options: Any,
    ) -> Self:
        """A client by the `credentials.json` that `pesalango-server up` writes.

        `options` are those of `Client`. Raises `ConfigurationError`.
        """
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

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._platform.root!r})"

    @property
    def market(self) -> Market:
        """Country and currency of the requests."""
        return self._platform.market

    @property
    def payments(self) -> Payments:
        """Payments that are never lost: each has a key of yours, and a place in the journal."""
        self._check_process()
        with self._making:
            if self._payments is None:
                journal = self._journal
                if journal is None or isinstance(journal, str | Path):
                    journal = SqliteJournal(find_default_journal() if journal is None else journal)
                self._payments = Payments(self, journal)
            return self._payments

    def open_session(self) -> None:
        """Have a session now, rather than at the first call. Raises `CallError`."""
        self._find_session(None)

    def close(self) -> None:
        """Let go of connections and of a journal that was opened here. Another call opens anew."""
        self._check_process()
        with self._making:
            connections, self._connections = self._connections, None
            payments, self._payments = self._payments, None
        if connections is not None:
            connections.close()
        if payments is not None and payments.journal is not self._journal:
            journal = payments.journal
            if isinstance(journal, SqliteJournal):
                journal.close()

    def _call(self, operation: Operation, values: dict[str, object], options: CallOptions) -> Any:
        check_options(options)
        body = fill_in(self._platform, operation, values, options.extra_fields)
        return self._run(call_flow(self._platform, operation, body, options, time.monotonic))

    def _run(self, flow: Generator[Any, Any, Any], journal: Journal | None = None) -> Any:
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
                outcome = self._carry_out(step, journal)
            except PesalangoError as failure:
                error = failure

    def _carry_out(self, step: Any, journal: Journal | None) -> Any:
        if isinstance(step, Send):
            return self._send(step)
        if isinstance(step, NeedSession):
            return self._find_session(step.refused)
        if isinstance(step, Ask):
            return getattr(journal, step.method)(*step.arguments, **step.keywords)
        if isinstance(step, Pause):
            threading.Event().wait(step.seconds)
            return None
        raise TypeError(f"no step of a flow: {step!r}")

    def _send(self, send: Send) -> Reply:
        try:
            return self._find_connections().exchange(send)
        except CallError as failure:
            error = failure
        except Exception as failure:  # noqa: BLE001 - whatever it is, the request may have left
            error = explain_failure(failure, send.timeout_s)
        # Raised out here, or it would carry the request, and with it a bearer, as its context.
        raise error

    def _check_process(self) -> None:
        """In a process that was forked, begin anew.

        It must not write into its parent's connections, and a lock may have been taken by a thread
        that is not here to release it.
        """
        if self._pid == os.getpid():
            return
        self._connections = None
        self._fetching = threading.Lock()
        self._making = threading.Lock()
        self._pid = os.getpid()

    def _find_connections(self) -> Connections | GivenClient:
        if self._given_client is not None:
            return self._given_client
        with self._making:
            if self._connections is None:
                self._connections = Connections(self._trusted, time.monotonic)
            return self._connections

    def _find_session(self, refused: Session | None) -> Session:
        now = time.monotonic()
        session = self._keeper.find(refused=refused, now=now)
        if session is not None:
            return session
        ending = self._keeper.find_ending(refused=refused, now=now)
        # While one thread renews a session that is still good, the others go on with it.
        is_mine = self._fetching.acquire(blocking=ending is None)
        if not is_mine and ending is not None:
            return ending
        try:
            session = self._keeper.find(refused=refused, now=time.monotonic())
            if session is not None:
                return session
            try:
                bearer = self._run(session_flow(self._platform))
            except AuthenticationError:
                raise
            except CallError:
                if ending is not None and time.monotonic() < ending.ends_at:
                    return ending
                raise
            return self._keeper.keep(bearer, refused=refused, now=time.monotonic())
        finally:
            self._fetching.release()
