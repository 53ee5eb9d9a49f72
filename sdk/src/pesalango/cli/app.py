"""The program: its commands, and what happens to what none of them catches."""

import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from pesalango._client import Client
from pesalango._errors import TransactionNotFoundError
from pesalango._intents import Payment
from pesalango._version import __version__
from pesalango.cli import PROGRAM, USAGE
from pesalango.cli.bulk import pay_bulk
from pesalango.cli.exits import DONE, STATUSES, UNKNOWN, Failure
from pesalango.cli.options import Gateway, as_command, check_fields
from pesalango.cli.output import (
    end_output,
    list_payment_fields,
    render_money,
    show_facts,
    show_failure,
    show_json,
    show_line,
    show_table,
)

Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        help="Your name for this payment, such as an order's number: it is paid once at most, "
        "however often the command is repeated. Without it, one is made and told.",
    ),
]
Within = Annotated[
    float | None,
    typer.Option(
        "--within", metavar="SECONDS", help="How long to learn what became of it; 120 if not given."
    ),
]
Amount = Annotated[str, typer.Option("--amount", help="In the market's currency, such as 249.50.")]
Customer = Annotated[
    str,
    typer.Option("--customer-msisdn", help="Mobile number with the country's prefix and no plus."),
]
Reference = Annotated[
    str,
    typer.Option("--transaction-reference", help="Its name in the organisation's books."),
]

app = typer.Typer(
    name=PROGRAM,
    help="Take and make mobile-money payments: none is lost, and none is made twice.",
    epilog=STATUSES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def run(arguments: Sequence[str]) -> int:
    """The exit status of a command."""
    try:
        status = app(args=list(arguments), prog_name=PROGRAM, standalone_mode=False)
        return status if isinstance(status, int) else DONE
    except Exception as error:  # noqa: BLE001 - what a defect of ours did with money is not known
        message = getattr(error, "format_message", None)
        if message is None:
            traceback.print_exc()
            return UNKNOWN
        if "--json" in arguments:
            show_failure(Failure(kind="UsageError", text=message()), is_json=True)
        else:
            error.show()  # type: ignore[attr-defined]
        return USAGE
    finally:
        end_output()


def _print_version(is_asked: bool) -> None:
    if is_asked:
        show_line(f"{PROGRAM} {__version__}")
        raise typer.Exit


@app.callback()
def take_options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print it."),
    ] = False,
) -> None:
    """Options in front of the command."""


def _register(name: str) -> Callable[[Callable[..., int]], Callable[..., int]]:
    def register(function: Callable[..., int]) -> Callable[..., int]:
        app.command(name, epilog=STATUSES)(as_command(function))
        return function

    return register


@_register("session")
def open_session(gateway: Gateway) -> int:
    """Open a session, to see that address and key work."""
    with gateway.open_client() as client:
        client.open_session()
        settings = gateway.settings
        if gateway.is_json:
            show_json(
                {
                    "session": "open",
                    "base_url": settings.base_url,
                    "environment": settings.environment,
                    "market": settings.market,
                }
            )
        else:
            show_line(
                f"A session is open: {settings.environment} of {settings.market} at "
                f"{settings.base_url}."
            )
    return DONE


@_register("c2b")
def take_payment(
    gateway: Gateway,
    amount: Amount,
    customer_msisdn: Customer,
    transaction_reference: Reference,
    description: Annotated[str, typer.Option("--description", help="What is bought, in words.")],
    key: Key = None,
    within: Within = None,
) -> int:
    """Take money from a customer, who is asked to approve."""
    values: dict[str, Any] = {
        "amount": amount,
        "customer_msisdn": customer_msisdn,
        "transaction_reference": transaction_reference,
        "purchased_items_description": description,
        "service_provider_code": gateway.settings.service_provider_code,
    }

    def pay(client: Client, key: str) -> Payment:
        return client.payments.collect(key=key, within=within, **values)

    return _pay(gateway, "c2b", key, values, pay)


@_register("b2c")
def pay_customer(
    gateway: Gateway,
    amount: Amount,
    customer_msisdn: Customer,
    transaction_reference: Reference,
    description: Annotated[
        str, typer.Option("--description", help="What the customer is paid for, in words.")
    ],
    key: Key = None,
    within: Within = None,
) -> int:
    """Pay a customer."""
    values: dict[str, Any] = {
        "amount": amount,
        "customer_msisdn": customer_msisdn,
        "transaction_reference": transaction_reference,
        "payment_items_description": description,
        "service_provider_code": gateway.settings.service_provider_code,
    }

    def pay(client: Client, key: str) -> Payment:
        return client.payments.pay_out(key=key, within=within, **values)

    return _pay(gateway, "b2c", key, values, pay)


@_register("b2b")
def pay_business(
    gateway: Gateway,
    amount: Amount,
    receiver_party_code: Annotated[
        str, typer.Option("--receiver-party-code", help="Shortcode of who is paid.")
    ],
    transaction_reference: Reference,
    description: Annotated[str, typer.Option("--description", help="What is bought, in words.")],
    key: Key = None,
    within: Within = None,
) -> int:
    """Pay another organisation.

    Who pays is the --service-provider-code.
    """
    values: dict[str, Any] = {
        "amount": amount,
        "receiver_party_code": receiver_party_code,
        "transaction_reference": transaction_reference,
        "purchased_items_description": description,
        "primary_party_code": gateway.settings.service_provider_code,
    }

    def pay(client: Client, key: str) -> Payment:
        return client.payments.pay_business(key=key, within=within, **values)

    return _pay(gateway, "b2b", key, values, pay)


@_register("reverse")
def reverse(
    gateway: Gateway,
    transaction_id: Annotated[str, typer.Argument(help="The transaction to be given back.")],
    amount: Annotated[
        str | None,
        typer.Option("--amount", help="How much of it; without it, all that is left of it."),
    ] = None,
    key: Key = None,
    within: Within = None,
) -> int:
    """Give a payment back, in full or in part."""
    code = gateway.settings.service_provider_code

    def pay(client: Client, key: str) -> Payment:
        return client.payments.reverse(
            key=key,
            within=within,
            transaction_id=transaction_id,
            reversal_amount=amount,
            service_provider_code=code,
        )

    values: dict[str, Any] = {
        "transaction_id": transaction_id,
        "reversal_amount": amount,
        "service_provider_code": code,
    }
    return _pay(gateway, "reverse", key, values, pay)


def _pay(
    gateway: Gateway,
    command: str,
    key: str | None,
    values: dict[str, Any],
    pay: Callable[[Client, str], Payment],
) -> int:
    with gateway.open_client() as client:
        check_fields(client, {**values, "key": key})
        payment = pay(client, gateway.choose_key(command, key))
        currency = client.market.currency
    if gateway.is_json:
        show_json(list_payment_fields(payment, currency))
    else:
        show_facts(
            (
                ("State", payment.state),
                ("Amount", render_money(payment.amount, currency)),
                ("Transaction", payment.transaction_id),
                ("Organisation", gateway.settings.service_provider_code),
                ("Key", payment.key),
                ("ThirdPartyConversationID", payment.third_party_conversation_id),
                ("ConversationID", payment.conversation_id),
            )
        )
    return DONE


@_register("status")
def query_status(
    gateway: Gateway,
    reference: Annotated[
        str,
        typer.Argument(
            help="TransactionID, ConversationID or ThirdPartyConversationID of a payment."
        ),
    ],
) -> int:
    """Ask what became of a payment.

    Status 0 where the gateway knows it, whatever its state; 3 where it does not so far, or not for
    this organisation: that does not say that no money moved.
    """
    values: dict[str, Any] = {
        "query_reference": reference,
        "service_provider_code": gateway.settings.service_provider_code,
    }
    with gateway.open_client() as client:
        check_fields(client, values)
        try:
            found = client.query_transaction_status(**values)
        except TransactionNotFoundError as error:
            # Asked for another organisation, the gateway may know it.
            error.text += f"; asked for the organisation {values['service_provider_code']}"
            raise
    if gateway.is_json:
        show_json(found)
    else:
        show_facts(
            (
                ("State", found.transaction_status),
                ("Transaction", found.original_transaction_id),
                ("Reversed", "yes" if found.reversed else "no"),
                ("Organisation", values["service_provider_code"]),
                ("ConversationID", found.conversation_id),
            )
        )
    return DONE


@_register("recover")
def recover(gateway: Gateway, within: Within = None) -> int:
    """Settle every payment that the journal has open with this gateway, environment and market.

    What never reached the gateway is paid now. Status 0 where nothing is open any more, paid or
    refused; 3 where something stays open.
    """
    with gateway.open_client() as client:
        payments = client.payments.recover(within=within)
        currency, market = client.market.currency, client.market.name
    environment = gateway.settings.environment
    if gateway.is_json:
        show_json([list_payment_fields(payment, currency) for payment in payments])
    elif not payments:
        show_line(f"Nothing is open in {environment}, {market}.")
    else:
        show_table(
            ("Key", "Operation", "Amount>", "State", "Transaction", "Why"),
            [
                (
                    payment.key,
                    payment.operation,
                    render_money(payment.amount, currency),
                    payment.state,
                    payment.transaction_id,
                    "" if payment.state == "completed" else payment.text,
                )
                for payment in payments
            ],
        )
    return UNKNOWN if any(payment.state == "open" for payment in payments) else DONE


_register("bulk")(pay_bulk)
