"""The one total map from the ledger's statuses to the codes of the wire."""

from pesalango_server.ledger.statuses import Status

CODES: dict[Status, str] = {
    Status.COMPLETED: "INS-0",
    Status.DUPLICATE: "INS-10",
    Status.TRIGGERED_INTERNAL_FAULT: "INS-1",
    Status.TRIGGERED_FAILURE: "INS-6",
    Status.TRIGGERED_EXPIRY: "INS-9",
    Status.TRIGGERED_AMOUNT_INVALID: "INS-15",
    Status.TRIGGERED_BALANCE_INSUFFICIENT: "INS-2006",
    Status.TRIGGERED_UNAVAILABLE: "INS-16",
    Status.TRIGGERED_SUCCESS: "INS-0",
    Status.TRIGGERED_NOT_A_PARTY: "INS-35",
    Status.ORGANISATION_UNKNOWN: "INS-13",
    Status.ORGANISATION_SUSPENDED: "INS-13",
    Status.ORGANISATION_NOT_OF_APPLICATION: "INS-13",
    Status.ORGANISATION_PRODUCT_DISABLED: "INS-997",
    Status.RECEIVER_UNKNOWN: "INS-13",
    Status.RECEIVER_SUSPENDED: "INS-13",
    Status.RECEIVER_IS_PAYER: "INS-13",
    Status.CUSTOMER_UNKNOWN: "INS-2051",
    Status.CUSTOMER_NOT_ACTIVE: "INS-6",
    Status.PROMPT_WAITING: "INS-0",
    Status.PROMPT_DECLINED: "INS-6",
    Status.PROMPT_PINS_EXHAUSTED: "INS-6",
    Status.PROMPT_EXPIRED: "INS-9",
    Status.PROMPT_UNKNOWN: "INS-23",
    Status.ORGANISATION_UNUSABLE: "INS-6",
    Status.ORGANISATION_WALLET_FULL: "INS-6",
    Status.BALANCE_INSUFFICIENT: "INS-2006",
    Status.CUSTOMER_WALLET_FULL: "INS-6",
    Status.ORIGINAL_UNKNOWN: "INS-18",
    Status.ORIGINAL_OF_OTHERS: "INS-35",
    Status.ORIGINAL_NOT_REVERSIBLE: "INS-6",
    Status.ORIGINAL_EXCEEDED: "INS-15",
}

TRIGGERED_STATUSES: dict[str, Status] = {
    "INS-0": Status.TRIGGERED_SUCCESS,
    "INS-1": Status.TRIGGERED_INTERNAL_FAULT,
    "INS-6": Status.TRIGGERED_FAILURE,
    "INS-9": Status.TRIGGERED_EXPIRY,
    "INS-15": Status.TRIGGERED_AMOUNT_INVALID,
    "INS-16": Status.TRIGGERED_UNAVAILABLE,
    "INS-35": Status.TRIGGERED_NOT_A_PARTY,
    "INS-2006": Status.TRIGGERED_BALANCE_INSUFFICIENT,
}
"""What the sandbox's trigger table answers, as the status that is recorded."""
