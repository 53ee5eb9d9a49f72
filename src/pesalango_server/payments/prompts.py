"""What ends the wait for a customer: approval, decline, three wrong PINs, or time."""

from pesalango_server.kernel.message import AnyOutcome, PaymentOutcome
from pesalango_server.ledger import store
from pesalango_server.ledger.book import Book
from pesalango_server.ledger.loading import LoadPlan
from pesalango_server.ledger.model import Answer, OrganisationStatus, Prompt
from pesalango_server.ledger.statuses import State, Status
from pesalango_server.payments.commands import AnswerPrompt, ExpirePrompt
from pesalango_server.payments.taking import refuse_customer_status, refuse_wallets

WRONG_PINS_MAX = 3


def plan_prompt(command: AnswerPrompt | ExpirePrompt, plan: LoadPlan) -> None:
    """What both decisions about a prompt need."""
    plan.prompt(command.ledger, command.payment)


def decide_answer_prompt(command: AnswerPrompt, book: Book) -> AnyOutcome:
    """Judge wallets and balance now: whoever comes first under the lock decides the payment."""
    prompt = book.prompts.get(command.payment)
    if prompt is None:
        return _what_stands(command.payment, book)
    if book.now_ms >= prompt.deadline_ms:
        return _end(prompt, book, State.EXPIRED, Status.PROMPT_EXPIRED, "answered too late")
    if command.answer == Answer.DECLINE:
        return _end(prompt, book, State.FAILED, Status.PROMPT_DECLINED, "")
    if command.answer == Answer.WRONG_PIN:
        return _count_wrong_pin(prompt, command.attempts, book)
    # By id, not from the prompt: a command before this one in the batch may have changed them.
    refused = refuse_customer_status(book.owner_statuses[prompt.customer])
    if refused:
        return _end(prompt, book, State.FAILED, *refused)
    if book.owner_statuses[prompt.organisation] != OrganisationStatus.ACTIVE:
        return _end(prompt, book, State.FAILED, Status.ORGANISATION_UNUSABLE, "suspended")
    refused = refuse_wallets(
        payer=prompt.customer_account,
        payee=prompt.organisation_account,
        amount_minor=prompt.amount_minor,
    )
    if refused:
        return _end(prompt, book, State.FAILED, *refused)
    # After this point, the payment succeeds.
    outcome = _end(prompt, book, State.COMPLETED, Status.COMPLETED, "")
    book.post_transfer(
        payment=prompt.payment,
        debit=prompt.customer_account,
        credit=prompt.organisation_account,
        amount_minor=prompt.amount_minor,
    )
    return outcome


def decide_expire_prompt(command: ExpirePrompt, book: Book) -> AnyOutcome:
    """Expire what still waits; if somebody was faster, what then stands is the answer."""
    prompt = book.prompts.get(command.payment)
    if prompt is None:
        return _what_stands(command.payment, book)
    if not command.is_forced and book.now_ms < prompt.deadline_ms:
        return PaymentOutcome(command.payment, State.PENDING, Status.PROMPT_WAITING)
    return _end(prompt, book, State.EXPIRED, Status.PROMPT_EXPIRED, "")


def _count_wrong_pin(prompt: Prompt, attempts: int, book: Book) -> PaymentOutcome:
    prompt.wrong_pins += attempts
    if prompt.wrong_pins >= WRONG_PINS_MAX:
        evidence = f"{prompt.wrong_pins}"
        return _end(prompt, book, State.FAILED, Status.PROMPT_PINS_EXHAUSTED, evidence)
    book.write(store.COUNT_WRONG_PINS, (book.ledger, prompt.payment, prompt.wrong_pins))
    return PaymentOutcome(prompt.payment, State.PENDING, Status.PROMPT_WAITING)


def _end(prompt: Prompt, book: Book, state: State, status: Status, evidence: str) -> PaymentOutcome:
    del book.prompts[prompt.payment]
    book.write(store.DELETE_PROMPTS, (book.ledger, prompt.payment))
    book.record_change(prompt.payment, state=state, status=status, evidence=evidence)
    return PaymentOutcome(prompt.payment, state, status)


def _what_stands(payment: int, book: Book) -> PaymentOutcome:
    standing = book.standings.get(payment)
    if standing is None:
        return PaymentOutcome(payment, State.NONE, Status.PROMPT_UNKNOWN)
    return PaymentOutcome(payment, standing.state, standing.status)
