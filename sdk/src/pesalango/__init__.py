"""Pesalango's client: mobile-money payments that are never lost, and never made twice.

`Client` and `AsyncClient` are the way in. What begins with an underscore may change at any time; all
else is a contract.
"""

import importlib as _importlib
import typing as _typing

from pesalango._catalog import MARKETS
from pesalango._client import Client, Payments
from pesalango._errors import (
    AuthenticationError,
    CallError,
    ConfigurationError,
    DuplicateError,
    InsufficientBalanceError,
    InvalidRequestError,
    JournalError,
    KeyReusedError,
    LimitExceededError,
    NotEnabledError,
    NotSentError,
    OutcomeUnknownError,
    PaymentRefusedError,
    PaymentUnsettledError,
    PesalangoError,
    RefusedError,
    StatusQueryNotEnabledError,
    TooManyAttemptsError,
    TransactionNotFoundError,
    UnavailableError,
)
from pesalango._fields import Amount
from pesalango._intents import AsyncJournal, Closing, Intent, Journal, Payment, PaymentState
from pesalango._model import Environment, Market
from pesalango._results import (
    B2bPaymentResult,
    B2cPaymentResult,
    C2bSingleStageResult,
    QueryTransactionStatusResult,
    ReversalResult,
)
from pesalango._sqlite_journal import SqliteJournal
from pesalango._version import __version__

if _typing.TYPE_CHECKING:
    from pesalango._async_client import AsyncClient, AsyncPayments

__all__ = [
    "MARKETS",
    "Amount",
    "AsyncClient",
    "AsyncJournal",
    "AsyncPayments",
    "AuthenticationError",
    "B2bPaymentResult",
    "B2cPaymentResult",
    "C2bSingleStageResult",
    "CallError",
    "Client",
    "Closing",
    "ConfigurationError",
    "DuplicateError",
    "Environment",
    "InsufficientBalanceError",
    "Intent",
    "InvalidRequestError",
    "Journal",
    "JournalError",
    "KeyReusedError",
    "LimitExceededError",
    "Market",
    "NotEnabledError",
    "NotSentError",
    "OutcomeUnknownError",
    "Payment",
    "PaymentRefusedError",
    "PaymentState",
    "PaymentUnsettledError",
    "Payments",
    "PesalangoError",
    "QueryTransactionStatusResult",
    "RefusedError",
    "ReversalResult",
    "SqliteJournal",
    "StatusQueryNotEnabledError",
    "TooManyAttemptsError",
    "TransactionNotFoundError",
    "UnavailableError",
    "__version__",
]

if not _typing.TYPE_CHECKING:
    # A sixth of the import is asyncio, which programs without an event loop never need.
    _LATER = frozenset({"AsyncClient", "AsyncPayments"})

    def __getattr__(name: str) -> object:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(_importlib.import_module("pesalango._async_client"), name)
        globals()[name] = value
        return value

    def __dir__() -> list[str]:
        return sorted({*globals(), *_LATER})
