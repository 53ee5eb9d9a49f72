"""What the gateway asks of the code behind a route, and what it gives it to work with."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from pesalango_server.applications.model import Application
from pesalango_server.catalog.model import Market
from pesalango_server.catalog.questions import Checked
from pesalango_server.gateway.answers import Answer, AnswerWithheld, OperationAnswers
from pesalango_server.http.context import ConfigurationHolder, EnvironmentContext
from pesalango_server.kernel.clock import Clock
from pesalango_server.kernel.message import AnyOutcome, Command
from pesalango_server.link.client import LinkBusy, LinkLost
from pesalango_server.telemetry import get_logger

log = get_logger("gateway")


@dataclass(frozen=True)
class Place:
    """One operation in one market of one environment, and what a worker has for it."""

    environment: EnvironmentContext
    market: Market
    answers: OperationAnswers
    configuration: ConfigurationHolder
    clock: Clock


class UseCase(Protocol):
    """Answers requests that passed the checks of the wire; made once for each place."""

    async def answer(self, application: Application, checked: Checked) -> Answer:
        """Steps 6 to 11 of the total order.

        Raises `StorageUnavailable` and `EngineUnavailable` as long as nothing can have been
        recorded, and `OutcomeUnknown` or `AnswerWithheld` where something may have been.
        """
        ...


UseCaseFactory = Callable[[Place], UseCase]


class EngineUnavailable(Exception):
    """The engine has no room or has ended; it is certain that it was sent nothing."""


def send_command(place: Place, command: Command) -> Awaitable[AnyOutcome]:
    """Send a command to the engine; what is returned gives the engine's last word on it.

    Raises `EngineUnavailable` at once where nothing was sent; awaiting raises `OutcomeUnknown`
    where it is unknown what became of the command.
    """
    try:
        return place.environment.link.submit(command)
    except (LinkBusy, LinkLost) as error:
        raise EngineUnavailable from error


def withhold_after_fault(place: Place, fault: Exception, outcome: Any) -> AnswerWithheld:
    """What to raise where the engine has decided and the answer cannot be made: a defect."""
    log.error(
        "answer_not_made",
        operation=place.answers.operation.name,
        outcome=type(outcome).__name__,
        exc_info=fault,
    )
    return AnswerWithheld("the outcome cannot be told")
