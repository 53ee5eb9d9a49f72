"""From a request to an answer: steps 1 to 5 of the total order, then the use case."""

from typing import Final, Protocol

from pesalango_server.catalog.codes import (
    INVALID_MARKET,
    INVALID_PARAMETER,
    PRODUCT_NOT_ENABLED,
)
from pesalango_server.catalog.questions import Checked, Refusal, Values
from pesalango_server.catalog.validation import Validator
from pesalango_server.gateway.answers import Answer, AnswerWithheld, OperationAnswers
from pesalango_server.gateway.auth import Authenticator
from pesalango_server.gateway.decryptor import DecryptionsBusy
from pesalango_server.gateway.refusal_log import RefusalLog
from pesalango_server.gateway.use_case import EngineUnavailable, UseCase
from pesalango_server.gateway.wire import (
    echo_third_party_conversation_id,
    read_body,
    read_echo,
    read_query_and_body,
)
from pesalango_server.http import bodies
from pesalango_server.http.answers import Receive, Scope
from pesalango_server.link.client import OutcomeUnknown
from pesalango_server.storage.database import StorageUnavailable

_CONTENT_LENGTH: Final = b"content-length"
_NO_VALUES: Final = Checked(values={}, amount_minor=None)
# What is not there at the moment, before anything can have been recorded.
_UNAVAILABLE: Final = (DecryptionsBusy, StorageUnavailable, EngineUnavailable)


class RequestFaulted(Exception):
    """A defect of ours, its cause, met by a request; `answer` is what the caller is told."""

    def __init__(self, answer: Answer) -> None:
        super().__init__("a request met a defect")
        self.answer = answer


class Responder(Protocol):
    """Answers the requests of one route."""

    async def respond(self, scope: Scope, receive: Receive) -> Answer:
        """The answer.

        Raises `BodyTooLarge`, `CallerGone`, `OutcomeUnknown`, `AnswerWithheld`, `RequestFaulted`.
        """
        ...


class SessionCallResponder:
    """Answers an operation that is called with a session key."""

    def __init__(
        self,
        *,
        environment: str,
        market: str,
        answers: OperationAnswers,
        validator: Validator,
        authenticator: Authenticator,
        use_case: UseCase,
        refusals: RefusalLog,
        body_bytes_max: int,
    ) -> None:
        operation = answers.operation
        self._environment = environment
        self._market = market
        self._operation = operation.name
        self._product = operation.product
        self._reads_query = operation.method == "GET"
        self._answers = answers
        self._validator = validator
        self._authenticator = authenticator
        self._use_case = use_case
        self._refusals = refusals
        self._body_bytes_max = body_bytes_max

    async def respond(self, scope: Scope, receive: Receive) -> Answer:
        """See `Responder.respond`."""
        headers = dict(scope["headers"])
        bodies.check_length(headers.get(_CONTENT_LENGTH), body_bytes_max=self._body_bytes_max)
        body = bodies.take_body(scope, body_bytes_max=self._body_bytes_max)
        if body is None:
            body = await bodies.read_body(receive, body_bytes_max=self._body_bytes_max)
        try:
            verdict = await self._authenticator.admit_session(scope, headers, self._market)
            if isinstance(verdict, Answer):
                return self._told(verdict, "not authenticated")
            values = (
                read_query_and_body(scope["query_string"], body)
                if self._reads_query
                else read_body(body)
            )
            if self._product not in verdict.products:
                reason = "product not enabled for the application"
                return self._refuse(PRODUCT_NOT_ENABLED, self._echo(scope, body), reason=reason)
            if values is None:
                echo = self._echo(scope, body)
                return self._refuse(INVALID_PARAMETER, echo, reason="body unreadable")
            checked = self._check(values)
            if isinstance(checked, Answer):
                return checked
            return await self._use_case.answer(verdict, checked)
        except _UNAVAILABLE as error:
            answer = self._answers.unavailable(third_party_conversation_id=self._echo(scope, body))
            return self._told(answer, type(error).__name__)
        except (AnswerWithheld, OutcomeUnknown, bodies.CallerGone):
            raise
        except Exception as fault:
            echo = self._echo(scope, body)
            raise RequestFaulted(self._answers.fault(third_party_conversation_id=echo)) from fault

    def _echo(self, scope: Scope, body: bytes) -> str:
        # Read again, and only where it is needed: reading each request before its caller is known
        # would let anybody have large bodies parsed for nothing.
        return read_echo(scope["query_string"] if self._reads_query else b"", body)

    def _check(self, values: Values) -> Checked | Answer:
        """The rest of step 4, and step 5."""
        checked = self._validator.check(values)
        if isinstance(checked, Refusal):
            return self._refuse(
                checked.code,
                echo_third_party_conversation_id(values),
                reason=f"{checked.field} {checked.reason}".strip(),
                status_and_text=(checked.http_status, checked.text),
            )
        return checked

    def _refuse(
        self,
        code: str,
        echo: str,
        *,
        reason: str,
        status_and_text: tuple[int, str] | None = None,
    ) -> Answer:
        answer = self._answers.refuse(
            code,
            third_party_conversation_id=echo,
            status_and_text=status_and_text,
        )
        return self._told(answer, reason)

    def _told(self, answer: Answer, reason: str) -> Answer:
        self._refusals.add(
            environment=self._environment,
            operation=self._operation,
            code=answer.code,
            reason=reason,
        )
        return answer


class ApiKeyResponder:
    """Answers the one operation that is called with an API key, and that has no parameters."""

    def __init__(
        self,
        *,
        environment: str,
        market: str,
        answers: OperationAnswers,
        authenticator: Authenticator,
        use_case: UseCase,
        refusals: RefusalLog,
        body_bytes_max: int,
    ) -> None:
        self._environment = environment
        self._market = market
        self._answers = answers
        self._authenticator = authenticator
        self._use_case = use_case
        self._refusals = refusals
        self._body_bytes_max = body_bytes_max

    async def respond(self, scope: Scope, receive: Receive) -> Answer:
        """See `Responder.respond`."""
        headers = dict(scope["headers"])
        bodies.check_length(headers.get(_CONTENT_LENGTH), body_bytes_max=self._body_bytes_max)
        # Read for its bound and the connection's next request; what is in it does not count.
        await bodies.read_body(receive, body_bytes_max=self._body_bytes_max)
        try:
            verdict = await self._authenticator.admit_api_key(scope, headers, self._market)
            if isinstance(verdict, Answer):
                return self._told(verdict, "not authenticated")
            answer = await self._use_case.answer(verdict, _NO_VALUES)
        except _UNAVAILABLE as error:
            return self._told(self._answers.unavailable(), type(error).__name__)
        if answer.code != self._answers.operation.success.code:
            self._told(answer, "no session could be made")
        return answer

    def _told(self, answer: Answer, reason: str) -> Answer:
        self._refusals.add(
            environment=self._environment,
            operation=self._answers.operation.name,
            code=answer.code,
            reason=reason,
        )
        return answer


class NoMarketResponder:
    """Answers an operation that is not offered in the market of the path; reads no body."""

    def __init__(
        self,
        *,
        environment: str,
        answers: OperationAnswers,
        refusals: RefusalLog,
        body_bytes_max: int,
    ) -> None:
        self._environment = environment
        self._answers = answers
        self._refusals = refusals
        self._body_bytes_max = body_bytes_max

    async def respond(self, scope: Scope, receive: Receive) -> Answer:  # noqa: ARG002 - see `Responder`
        """See `Responder.respond`."""
        bodies.check_length(
            dict(scope["headers"]).get(_CONTENT_LENGTH), body_bytes_max=self._body_bytes_max
        )
        answer = self._answers.refuse(INVALID_MARKET, reason="No such market for this operation")
        self._refusals.add(
            environment=self._environment,
            operation=self._answers.operation.name,
            code=answer.code,
            reason="no such market",
        )
        return answer
