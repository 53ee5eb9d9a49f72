"""Markets, operations and codes. Written by `make gen` from the server's catalog."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from pesalango._model import Code, Market, Operation, Retry

MARKETS: Final[Mapping[str, Market]] = MappingProxyType(
    {
        "vodafoneGHA": Market(name="vodafoneGHA", country="GHA", currency="GHS"),
        "vodacomTZN": Market(name="vodacomTZN", country="TZN", currency="TZS"),
        "vodacomLES": Market(name="vodacomLES", country="LES", currency="LSL"),
        "vodacomDRC": Market(name="vodacomDRC", country="DRC", currency="USD"),
        "vodacomMOZ": Market(name="vodacomMOZ", country="MOZ", currency="MZN"),
    }
)
"""By their names in the path."""

GET_SESSION: Final = Operation(
    name="get_session",
    method="GET",
    path="getSession/",
    fields=MappingProxyType({}),
    amounts=frozenset(),
    optional=frozenset(),
    answer=MappingProxyType(
        {
            "output_ResponseCode": "response_code",
            "output_ResponseDesc": "response_description",
            "output_SessionID": "session_id",
        }
    ),
    flags=frozenset(),
    success=frozenset(["INS-0"]),
    moves_money=False,
)
C2B_SINGLE_STAGE: Final = Operation(
    name="c2b_single_stage",
    method="POST",
    path="c2bPayment/singleStage/",
    fields=MappingProxyType(
        {
            "amount": "input_Amount",
            "customer_msisdn": "input_CustomerMSISDN",
            "country": "input_Country",
            "currency": "input_Currency",
            "service_provider_code": "input_ServiceProviderCode",
            "transaction_reference": "input_TransactionReference",
            "third_party_conversation_id": "input_ThirdPartyConversationID",
            "purchased_items_description": "input_PurchasedItemsDesc",
        }
    ),
    amounts=frozenset(["amount"]),
    optional=frozenset(),
    answer=MappingProxyType(
        {
            "output_ResponseCode": "response_code",
            "output_ResponseDesc": "response_description",
            "output_TransactionID": "transaction_id",
            "output_ConversationID": "conversation_id",
            "output_ThirdPartyConversationID": "third_party_conversation_id",
        }
    ),
    flags=frozenset(),
    success=frozenset(["INS-0"]),
    moves_money=True,
)
B2C_PAYMENT: Final = Operation(
    name="b2c_payment",
    method="POST",
    path="b2cPayment/",
    fields=MappingProxyType(
        {
            "amount": "input_Amount",
            "customer_msisdn": "input_CustomerMSISDN",
            "country": "input_Country",
            "currency": "input_Currency",
            "service_provider_code": "input_ServiceProviderCode",
            "transaction_reference": "input_TransactionReference",
            "third_party_conversation_id": "input_ThirdPartyConversationID",
            "payment_items_description": "input_PaymentItemsDesc",
        }
    ),
    amounts=frozenset(["amount"]),
    optional=frozenset(),
    answer=MappingProxyType(
        {
            "output_ResponseCode": "response_code",
            "output_ResponseDesc": "response_description",
            "output_TransactionID": "transaction_id",
            "output_ConversationID": "conversation_id",
            "output_ThirdPartyConversationID": "third_party_conversation_id",
        }
    ),
    flags=frozenset(),
    success=frozenset(["INS-0"]),
    moves_money=True,
)
B2B_PAYMENT: Final = Operation(
    name="b2b_payment",
    method="POST",
    path="b2bPayment/",
    fields=MappingProxyType(
        {
            "amount": "input_Amount",
            "receiver_party_code": "input_ReceiverPartyCode",
            "country": "input_Country",
            "currency": "input_Currency",
            "primary_party_code": "input_PrimaryPartyCode",
            "transaction_reference": "input_TransactionReference",
            "third_party_conversation_id": "input_ThirdPartyConversationID",
            "purchased_items_description": "input_PurchasedItemsDesc",
        }
    ),
    amounts=frozenset(["amount"]),
    optional=frozenset(),
    answer=MappingProxyType(
        {
            "output_ResponseCode": "response_code",
            "output_ResponseDesc": "response_description",
            "output_TransactionID": "transaction_id",
            "output_ConversationID": "conversation_id",
            "output_ThirdPartyConversationID": "third_party_conversation_id",
        }
    ),
    flags=frozenset(),
    success=frozenset(["INS-0"]),
    moves_money=True,
)
REVERSAL: Final = Operation(
    name="reversal",
    method="PUT",
    path="reversal/",
    fields=MappingProxyType(
        {
            "reversal_amount": "input_ReversalAmount",
            "country": "input_Country",
            "transaction_id": "input_TransactionID",
            "service_provider_code": "input_ServiceProviderCode",
            "third_party_conversation_id": "input_ThirdPartyConversationID",
        }
    ),
    amounts=frozenset(["reversal_amount"]),
    optional=frozenset(["reversal_amount"]),
    answer=MappingProxyType(
        {
            "output_ResponseCode": "response_code",
            "output_ResponseDesc": "response_description",
            "output_TransactionID": "transaction_id",
            "output_ConversationID": "conversation_id",
            "output_ThirdPartyConversationID": "third_party_conversation_id",
        }
    ),
    flags=frozenset(),
    success=frozenset(["INS-0"]),
    moves_money=True,
)
QUERY_TRANSACTION_STATUS: Final = Operation(
    name="query_transaction_status",
    method="GET",
    path="queryTransactionStatus/",
    fields=MappingProxyType(
        {
            "query_reference": "input_QueryReference",
            "country": "input_Country",
            "service_provider_code": "input_ServiceProviderCode",
            "third_party_conversation_id": "input_ThirdPartyConversationID",
        }
    ),
    amounts=frozenset(),
    optional=frozenset(),
    answer=MappingProxyType(
        {
            "output_ResponseCode": "response_code",
            "output_ResponseDesc": "response_description",
            "output_ResponseTransactionStatus": "transaction_status",
            "output_ConversationID": "conversation_id",
            "output_ThirdPartyConversationID": "third_party_conversation_id",
            "output_OriginalTransactionID": "original_transaction_id",
            "output_Reversed": "reversed",
        }
    ),
    flags=frozenset(["reversed"]),
    success=frozenset(["INS-0"]),
    moves_money=False,
)

OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {
        operation.name: operation
        for operation in (
            GET_SESSION,
            C2B_SINGLE_STAGE,
            B2C_PAYMENT,
            B2B_PAYMENT,
            REVERSAL,
            QUERY_TRANSACTION_STATUS,
        )
    }
)

CODES: Final[Mapping[str, Code]] = MappingProxyType(
    {
        "INS-0": Code(Retry.DONE, "Request processed successfully"),
        "INS-1": Code(Retry.SAME, "Internal Error"),
        "INS-6": Code(Retry.NEW, "Transaction Failed"),
        "INS-9": Code(Retry.ASK, "Request timeout"),
        "INS-10": Code(Retry.ASK, "Duplicate Transaction"),
        "INS-13": Code(Retry.NEW, "Invalid Shortcode Used"),
        "INS-15": Code(Retry.NEW, "Invalid Amount Used"),
        "INS-16": Code(Retry.SAME, "Service is not available"),
        "INS-17": Code(
            Retry.CORRECTED, "Invalid Transaction Reference. Length Should Be Between 1 and 20."
        ),
        "INS-18": Code(Retry.NEW, "Invalid TransactionID Used"),
        "INS-19": Code(Retry.CORRECTED, "Invalid ThirdPartyReference Used"),
        "INS-20": Code(Retry.CORRECTED, "Not All Parameters Provided. Please try again."),
        "INS-21": Code(Retry.NEW, "Parameter validations failed. Please try again."),
        "INS-23": Code(Retry.SAME, "Transaction not found. Contact M-Pesa Support"),
        "INS-26": Code(Retry.CORRECTED, "Invalid Currency Used"),
        "INS-28": Code(Retry.CORRECTED, "Invalid ThirdPartyConversationID Used"),
        "INS-30": Code(Retry.CORRECTED, "Invalid Purchased Items Description Used"),
        "INS-31": Code(Retry.CORRECTED, "Invalid Payment Items Description Used"),
        "INS-32": Code(Retry.CORRECTED, "Invalid KYC Query Type Used"),
        "INS-35": Code(Retry.NEW, "This transaction do not belong to you"),
        "INS-36": Code(Retry.CORRECTED, "Invalid Agreed TC Used"),
        "INS-39": Code(Retry.CORRECTED, "Invalid First Payment Date Used"),
        "INS-40": Code(Retry.CORRECTED, "Invalid Frequency Used"),
        "INS-41": Code(Retry.CORRECTED, "Invalid Start Range Days Used"),
        "INS-42": Code(Retry.CORRECTED, "Invalid End Range Days Used"),
        "INS-43": Code(Retry.CORRECTED, "Invalid Expiry Date Used"),
        "INS-45": Code(Retry.CORRECTED, "Missing Reference"),
        "INS-50": Code(Retry.NEW, "MSISDN Token and MSISDN provided does not Match"),
        "INS-51": Code(Retry.NEW, "Invalid MandateID Used"),
        "INS-52": Code(
            Retry.NEW, "The MandateID used does not correspond to the ThirdPartyReference used."
        ),
        "INS-54": Code(Retry.CORRECTED, "Invalid BalanceAmount Used"),
        "INS-55": Code(
            Retry.CORRECTED, "BalanceAmount is Mandatory when QueryBalanceAmount is True"
        ),
        "INS-56": Code(Retry.NEW, "Invalid MSISDNToken Used"),
        "INS-57": Code(Retry.CORRECTED, "Either MSISDN or MSISDNToken required"),
        "INS-58": Code(Retry.NEW, "No Active Mandate found"),
        "INS-989": Code(Retry.SAME, "Session Creation Failed"),
        "INS-990": Code(Retry.NEW, "Customer Transaction Value Limit Breached"),
        "INS-991": Code(Retry.NEW, "Customer Transaction Count Limit Breached"),
        "INS-992": Code(Retry.NEW, "Multiple Limits Breached"),
        "INS-993": Code(Retry.NEW, "Organization Transaction Count Limit Breached"),
        "INS-994": Code(Retry.NEW, "Organization Transaction Value Limit Breached"),
        "INS-995": Code(Retry.NEW, "API Single Transaction Limit Breached"),
        "INS-996": Code(Retry.CORRECTED, "API Being Used Outside Of Usage Time"),
        "INS-997": Code(Retry.NEW, "API Not Enabled"),
        "INS-998": Code(Retry.CORRECTED, "Invalid Market"),
        "INS-2006": Code(Retry.NEW, "Insufficient balance"),
        "INS-2051": Code(Retry.NEW, "MSISDN invalid."),
        "INS-GAR-0": Code(Retry.DONE, "Request processed successfully"),
    }
)
"""What each code says, whatever the operation."""
