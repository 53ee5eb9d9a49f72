"""The operations that move money: one command to the engine, one answer."""

from typing import Final

from pesalango_server.applications.model import Application
from pesalango_server.catalog.codes import INTERNAL_ERROR, SERVICE_UNAVAILABLE
from pesalango_server.catalog.model import Operation
from pesalango_server.catalog.questions import Checked
from pesalango_server.catalog.triggers import find_trigger
from pesalango_server.gateway.answers import Answer
from pesalango_server.gateway.use_case import Place, send_command, withhold_after_fault
from pesalango_server.kernel.invariant import ensure, expect
from pesalango_server.kernel.message import AnyOutcome, Fault, FaultKind, PaymentOutcome
from pesalango_server.ledger.statuses import State
from pesalango_server.payments.outcomes import CODES, TRIGGERED_STATUSES
from pesalango_server.payments.taking import Asked, PaymentUseCase

_CODES: Final[dict[int, str]] = {int(status): code for status, code in CODES.items()}
_COMPLETED: Final = State.COMPLETED
_FAULT_CODES: Final = {
    FaultKind.INTERNAL: INTERNAL_ERROR,
    FaultKind.UNAVAILABLE: SERVICE_UNAVAILABLE,
}


class Payment:
    """See `UseCase`."""

    def __init__(self, place: Place, use_case: PaymentUseCase) -> None:
        self._place = place
        self._environment = place.environment
        self._market = place.market.path_value
        self._has_triggers = place.environment.name == "sandbox"
        self._operation = operation = use_case.operation
        self._kind = use_case.command.kind
        self._make_command = use_case.make
        installation = place.configuration.installation
        self._make_duplicate_key = installation.duplicate_keys.make
        self._decode_transaction_id = installation.ids.decode_transaction_id
        self._encode_id = installation.ids.encode
        self._success = _split_success(operation)
        self._success_status = operation.success.http_status
        self._success_code = operation.success.code

    async def answer(self, application: Application, checked: Checked) -> Answer:
        """See `UseCase.answer`."""
        environment = self._environment
        values = checked.values
        reference = values["third_party_conversation_id"]
        trigger = find_trigger(self._operation, checked) if self._has_triggers else None
        world = application.environments[environment.name].world
        ledger = environment.known_ledger(world, self._market)
        if ledger is None:
            ledger = await environment.find_ledger(world, self._market)
        asked = Asked(
            expect(ledger, "a session belongs to a ledger that was opened"),
            application.id,
            application.organisations,
            values,
            checked.amount_minor or 0,
            self._make_duplicate_key(
                application=application.id, operation=self._kind, reference=reference
            ),
            0 if trigger is None else TRIGGERED_STATUSES[trigger.code],
            self._decode_transaction_id,
            environment.approves_unscripted,
            environment.wait_ms,
            environment.b2b_payer_may_reverse,
        )
        outcome = await send_command(self._place, self._make_command(asked))
        try:
            return self._render(outcome, reference)
        except Exception as fault:
            raise withhold_after_fault(self._place, fault, outcome) from fault

    def _render(self, outcome: AnyOutcome, reference: str) -> Answer:
        answers = self._place.answers
        if isinstance(outcome, Fault):
            return answers.refuse(_FAULT_CODES[outcome.kind], third_party_conversation_id=reference)
        ensure(isinstance(outcome, PaymentOutcome), "a payment has the outcome of a payment")
        payment, state, status = outcome.payment, outcome.state, outcome.status  # type: ignore[union-attr]
        code = _CODES[status]
        if code == self._success_code:
            ensure(state == _COMPLETED, "only a completed payment is a success")
            transaction_id, conversation_id = self._encode_id(payment)
            # The reference passed its pattern, in which nothing needs escaping.
            head, before_conversation, before_reference, end = self._success
            body = (
                f"{head}{transaction_id}{before_conversation}{conversation_id}"
                f"{before_reference}{reference}{end}"
            )
            return Answer(self._success_status, self._success_code, body.encode())
        return answers.refuse(
            code,
            third_party_conversation_id=reference,
            conversation_id=self._encode_id(payment)[1] if payment else None,
        )


def _split_success(operation: Operation) -> tuple[str, str, str, str]:
    """The body of a success, cut where TransactionID, ConversationID and reference go."""
    names = [field.wire_name for field in operation.answer.fields]
    ensure(
        [field.name for field in operation.answer.fields]
        == [
            "response_code",
            "response_description",
            "transaction_id",
            "conversation_id",
            "third_party_conversation_id",
        ],
        "the answer has these fields",
    )
    success = operation.success
    return (
        f'{{"{names[0]}":"{success.code}","{names[1]}":"{success.text}","{names[2]}":"',
        f'","{names[3]}":"',
        f'","{names[4]}":"',
        '"}',
    )
