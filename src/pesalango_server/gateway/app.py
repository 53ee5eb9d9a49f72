"""The operator's API as one plain ASGI function over a table of paths."""

import asyncio
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Final

from pesalango_server.catalog.model import ENVIRONMENTS, EnvironmentName, Market
from pesalango_server.catalog.registry import OPERATIONS_BY_NAME
from pesalango_server.catalog.validation import find_validator
from pesalango_server.gateway.answers import (
    NOT_FOUND,
    TOO_LARGE,
    AnswerWithheld,
    OperationAnswers,
    wrong_method,
)
from pesalango_server.gateway.auth import Authenticator
from pesalango_server.gateway.bearer import check_platform_keys
from pesalango_server.gateway.decryptor import Decryptor
from pesalango_server.gateway.operations import Seeder, make_use_cases
from pesalango_server.gateway.refusal_log import RefusalLog
from pesalango_server.gateway.responders import (
    ApiKeyResponder,
    NoMarketResponder,
    RequestFaulted,
    Responder,
    SessionCallResponder,
)
from pesalango_server.gateway.routes import Route, RouteTable
from pesalango_server.gateway.sessions import CiphertextMap
from pesalango_server.gateway.throttle import FailureThrottle, RefusalDelay
from pesalango_server.gateway.use_case import Place, UseCaseFactory
from pesalango_server.gateway.waits import SLOT_MS, OutcomeWaits
from pesalango_server.http.addresses import PeerFinder
from pesalango_server.http.answers import (
    JSON_HEADER,
    Receive,
    Scope,
    Send,
    length_header,
    send_json,
)
from pesalango_server.http.bodies import BodyTooLarge, CallerGone, refuse_body
from pesalango_server.http.context import WorkerContext
from pesalango_server.http.protocol import answer_at_once, close_unanswered
from pesalango_server.kernel.invariant import ensure
from pesalango_server.link.client import OutcomeUnknown
from pesalango_server.settings import Settings
from pesalango_server.telemetry import Metrics, get_logger

WAIT_MARGIN_MS: Final = 10_000
"""So long after a call's own waiting time its outcome is given up as unknown."""

TRACES_PER_SECOND_MAX: Final = 10
"""Faults that are logged with their trace; the metrics count all."""

log = get_logger("gateway")


class Gateway:
    """The ASGI application of `/sandbox/…` and `/openapi/…`.

    `use_cases` are the operations that are routed, by name. Raises `ImplicitRejectionMissing`
    where bearers could not be decrypted safely. `start` before the first request and
    `close` after the last, on the event loop that serves.
    """

    def __init__(
        self,
        context: WorkerContext,
        *,
        settings: Settings,
        use_cases: Mapping[str, UseCaseFactory],
        metrics: Metrics,
    ) -> None:
        # Each worker for itself: it is the library of this very process that will decrypt.
        check_platform_keys(context.configuration.current.platform_keys)
        self._context = context
        self._settings = settings
        self._metrics = metrics
        self._refusals = RefusalLog()
        self._peers = PeerFinder(settings.trusted_proxies)
        self._throttle = FailureThrottle(
            context.clock,
            # Each worker sees its part of an address's calls, and counts for itself.
            failures_per_minute=max(
                1, settings.failed_authentications_per_minute // max(1, settings.workers)
            ),
            networks_max=settings.failed_authentication_networks_max,
            exempts_loopback=settings.failed_authentications_exempt_loopback,
        )
        self._refusal_delay = RefusalDelay(
            delay_ms=settings.failed_authentication_delay_ms,
            # The rest of the connections is for others.
            held_max=settings.connections_max // 4,
        )
        self._decryptor = Decryptor(
            throttle=self._throttle,
            threads=settings.decryption_threads,
            waiting_max=settings.decryptions_waiting_max,
            decryptions=metrics.counter("decryptions", "Bearers that were decrypted."),
        )
        self._dropped_bytes_max = settings.dropped_bytes_max
        self._waits: dict[str, OutcomeWaits] = {}
        self._table = self._make_table(use_cases)
        self._find_usual = self._table.find_usual
        self._lost = metrics.counter("requests_to_no_path", "Requests to paths that are not there.")
        self._ticking: asyncio.TimerHandle | None = None
        self._traces_left = TRACES_PER_SECOND_MAX

    # --- making the routes -----------------------------------------------------------------------

    def _make_table(self, use_cases: Mapping[str, UseCaseFactory]) -> RouteTable:
        routes: dict[tuple[str, str, str], Route] = {}
        nowhere: dict[tuple[str, str], Route] = {}
        for name in ENVIRONMENTS:
            if name not in self._context.environments:
                continue
            authenticator = self._make_authenticator(name)
            environment = self._context.environments[name]
            self._waits[name] = OutcomeWaits(
                environment.link, limit_ms=environment.wait_ms + WAIT_MARGIN_MS
            )
            for operation_name, make_use_case in use_cases.items():
                answers = OperationAnswers(OPERATIONS_BY_NAME[operation_name])
                nowhere[name, operation_name] = self._make_route(
                    name,
                    answers,
                    NoMarketResponder(
                        environment=name,
                        answers=answers,
                        refusals=self._refusals,
                        body_bytes_max=self._settings.body_bytes_max,
                    ),
                )
                for market in answers.operation.markets:
                    responder = self._make_responder(
                        name, market, answers, authenticator, make_use_case
                    )
                    routes[name, market.path_value, operation_name] = self._make_route(
                        name, answers, responder
                    )
        return RouteTable(routes, nowhere)

    def _make_authenticator(self, environment: EnvironmentName) -> Authenticator:
        return Authenticator(
            environment=self._context.environments[environment],
            configuration=self._context.configuration,
            clock=self._context.clock,
            decryptor=self._decryptor,
            throttle=self._throttle,
            refusal_delay=self._refusal_delay,
            peers=self._peers,
            ciphertexts=CiphertextMap(
                ciphertexts_max=self._settings.ciphertexts_max,
                per_session_max=self._settings.ciphertexts_per_session_max,
            ),
        )

    def _make_responder(
        self,
        environment: EnvironmentName,
        market: Market,
        answers: OperationAnswers,
        authenticator: Authenticator,
        make_use_case: UseCaseFactory,
    ) -> Responder:
        use_case = make_use_case(
            Place(
                environment=self._context.environments[environment],
                market=market,
                answers=answers,
                configuration=self._context.configuration,
                clock=self._context.clock,
            )
        )
        if answers.operation.product is None:
            return ApiKeyResponder(
                environment=environment,
                market=market.path_value,
                answers=answers,
                authenticator=authenticator,
                use_case=use_case,
                refusals=self._refusals,
                body_bytes_max=self._settings.body_bytes_max,
            )
        validator = find_validator(answers.operation, market, environment)
        ensure(validator is not None, "the operation is offered in this market")
        return SessionCallResponder(
            environment=environment,
            market=market.path_value,
            answers=answers,
            validator=validator,  # type: ignore[arg-type]
            authenticator=authenticator,
            use_case=use_case,
            refusals=self._refusals,
            body_bytes_max=self._settings.body_bytes_max,
        )

    def _make_route(
        self, environment: str, answers: OperationAnswers, responder: Responder
    ) -> Route:
        return Route(
            environment=environment, answers=answers, responder=responder, metrics=self._metrics
        )

    # --- serving ---------------------------------------------------------------------------------

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        began = perf_counter()
        route = self._find_usual(scope["path"]) or self._table.find(scope["path"])
        if route is None:
            self._lost.add()
            await send_json(send, NOT_FOUND.status, NOT_FOUND.body)
            return
        if scope["method"] != route.method:
            answer = wrong_method(route.method)
        else:
            try:
                answer = await route.responder.respond(scope, receive)
            except BodyTooLarge as error:
                await self._refuse_body(receive, send, is_whole=error.is_whole)
                route.count(TOO_LARGE.code, perf_counter() - began)
                return
            except CallerGone:
                return
            except (AnswerWithheld, OutcomeUnknown):
                close_unanswered(scope)
                route.count("withheld", perf_counter() - began)
                return
            except asyncio.CancelledError:
                close_unanswered(scope)
                raise
            except RequestFaulted as faulted:
                self._tell_fault(route, faulted.__cause__)
                answer = faulted.answer
            except Exception as fault:  # noqa: BLE001 - logged with its trace
                self._tell_fault(route, fault)
                answer = route.answers.fault()
        body = answer.body
        headers = (JSON_HEADER, length_header(len(body)), *answer.headers)
        if not answer_at_once(scope, answer.status, headers, body):
            await send_json(send, answer.status, body, answer.headers)
        route.count(answer.code, perf_counter() - began)

    async def _refuse_body(self, receive: Receive, send: Send, *, is_whole: bool) -> None:
        await refuse_body(
            receive,
            send,
            TOO_LARGE.status,
            TOO_LARGE.body,
            is_whole=is_whole,
            dropped_bytes_max=self._dropped_bytes_max,
        )

    def _tell_fault(self, route: Route, fault: BaseException | None) -> None:
        # A fault that every request meets must not fill the disk with one and the same trace.
        if self._traces_left:
            self._traces_left -= 1
            log.error("request_faulted", operation=route.answers.operation.name, exc_info=fault)

    # --- living ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to give up overdue outcomes and to report refusals and metrics."""
        loop = asyncio.get_running_loop()
        self._metrics.before_flush(self._make_measurement())

        def tick() -> None:
            self.tick()
            self._ticking = loop.call_later(SLOT_MS / 1_000, tick)

        self._ticking = loop.call_later(SLOT_MS / 1_000, tick)

    def _make_measurement(self) -> Callable[[], None]:
        gauges = [
            (
                self._context.environments[name].link,
                self._metrics.gauge(
                    "unanswered", "Commands that wait for an engine.", environment=name
                ),
                self._metrics.gauge(
                    "prompts_waiting", "Payments that wait for their customer.", environment=name
                ),
            )
            for name in self._waits
        ]

        def measure() -> None:
            for link, unanswered, prompts_waiting in gauges:
                unanswered.set(link.unanswered)
                prompts_waiting.set(link.prompts_waiting)

        return measure

    def tick(self) -> None:
        """What is due once a second."""
        self._traces_left = TRACES_PER_SECOND_MAX
        for waits in self._waits.values():
            waits.sweep()
        self._refusals.report()
        self._metrics.flush()

    def stop_waiting(self) -> None:
        """Answer those who only wait for their turn or for a refusal: the server stops."""
        self._decryptor.refuse_waiting()
        self._refusal_delay.stop()

    def close(self) -> None:
        """Stop what `start` began, and report the rest."""
        if self._ticking is not None:
            self._ticking.cancel()
        self._decryptor.close()
        self._refusals.report()
        self._metrics.flush()


def make_gateway(
    context: WorkerContext, *, settings: Settings, seeder: Seeder, metrics: Metrics
) -> Gateway:
    """The gateway with every operation that has a use case; `seeder` fills new ledgers."""
    return Gateway(context, settings=settings, use_cases=make_use_cases(seeder), metrics=metrics)
