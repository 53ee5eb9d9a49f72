"""Which commands an environment's engine knows, and the use case of each.

Use cases live in the package of their subject; a new operation is one line here.
"""

from collections.abc import Callable
from typing import Any

from pesalango_server.applications import sessions
from pesalango_server.kernel.message import AnyOutcome, Command
from pesalango_server.ledger import parties
from pesalango_server.ledger.book import Book
from pesalango_server.ledger.loading import LoadPlan
from pesalango_server.payments import b2b, b2c, c2b, commands, prompts, reversal

# A use case takes its own kind of command; the table is what pairs them.
Plan = Callable[[Any, LoadPlan], None]
Decide = Callable[[Any, Book], AnyOutcome]

PAYMENTS = (c2b.USE_CASE, b2c.USE_CASE, b2b.USE_CASE, reversal.USE_CASE)
"""The operations that move money. The gateway routes what is listed here."""

USE_CASES: dict[type[Command], tuple[Plan, Decide]] = {
    **{payment.command: (payment.plan, payment.decide) for payment in PAYMENTS},
    commands.AnswerPrompt: (prompts.plan_prompt, prompts.decide_answer_prompt),
    commands.ExpirePrompt: (prompts.plan_prompt, prompts.decide_expire_prompt),
    parties.OpenLedger: (parties.plan_open_ledger, parties.decide_open_ledger),
    parties.AddCustomers: (parties.plan_add_customers, parties.decide_add_customers),
    parties.SetCustomerStatus: (
        parties.plan_set_customer_status,
        parties.decide_set_customer_status,
    ),
    parties.FundCustomers: (parties.plan_fund_customers, parties.decide_fund_customers),
    parties.ScriptCustomer: (parties.plan_script_customer, parties.decide_script_customer),
    parties.AddOrganisations: (
        parties.plan_add_organisations,
        parties.decide_add_organisations,
    ),
    parties.SetOrganisation: (parties.plan_set_organisation, parties.decide_set_organisation),
    parties.FundOrganisations: (
        parties.plan_fund_organisations,
        parties.decide_fund_organisations,
    ),
    sessions.CreateSession: (sessions.plan_create_session, sessions.decide_create_session),
}
