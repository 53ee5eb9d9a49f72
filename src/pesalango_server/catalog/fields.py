"""The parameters that several operations share. An operation varies them with `optional`."""

from typing import Final

from msgspec.structs import replace

from pesalango_server.catalog import kinds
from pesalango_server.catalog.model import Field

AMOUNT: Final = Field(
    wire_name="input_Amount",
    name="amount",
    kind=kinds.AMOUNT,
    description="How much is to be paid, in the market's currency.",
    example="249.50",
)
CUSTOMER_MSISDN: Final = Field(
    wire_name="input_CustomerMSISDN",
    name="customer_msisdn",
    kind=kinds.MSISDN,
    description="The customer's mobile number, with the country's prefix and no plus sign.",
    example="233200004711",
)
COUNTRY: Final = Field(
    wire_name="input_Country",
    name="country",
    kind=kinds.COUNTRY,
    description="The country of the market in the path.",
    example="GHA",
)
CURRENCY: Final = Field(
    wire_name="input_Currency",
    name="currency",
    kind=kinds.CURRENCY,
    description="The currency of the market in the path.",
    example="GHS",
)
SERVICE_PROVIDER_CODE: Final = Field(
    wire_name="input_ServiceProviderCode",
    name="service_provider_code",
    kind=kinds.SHORTCODE,
    description="The shortcode of the organisation that the application acts for.",
    example="SHOP27",
)
TRANSACTION_REFERENCE: Final = Field(
    wire_name="input_TransactionReference",
    name="transaction_reference",
    kind=kinds.TRANSACTION_REFERENCE,
    description="What the payment is called in the organisation's books, such as an invoice.",
    example="Invoice 1042",
)
THIRD_PARTY_CONVERSATION_ID: Final = Field(
    wire_name="input_ThirdPartyConversationID",
    name="third_party_conversation_id",
    kind=kinds.THIRD_PARTY_CONVERSATION_ID,
    description="The caller's own id of this request. It names the request in a status query.",
    example="order1042attempt1",
)
PURCHASED_ITEMS: Final = Field(
    wire_name="input_PurchasedItemsDesc",
    name="purchased_items_description",
    kind=kinds.PURCHASED_ITEMS,
    description="What is bought, in words.",
    example="Two bags of rice",
)
THIRD_PARTY_REFERENCE: Final = Field(
    wire_name="input_ThirdPartyReference",
    name="third_party_reference",
    kind=kinds.THIRD_PARTY_REFERENCE,
    description="The organisation's reference of the mandate, such as a contract number.",
    example="Contract88",
)
MSISDN_TOKEN: Final = Field(
    wire_name="input_MsisdnToken",
    name="msisdn_token",
    kind=kinds.MSISDN_TOKEN,
    description="The token that stands for the customer's number in this organisation's calls.",
    example="Xq4mT9bKc2RzWv8pLd6NyA==",
)
MANDATE_ID: Final = Field(
    wire_name="input_MandateID",
    name="mandate_id",
    kind=kinds.MANDATE_ID,
    description="The mandate. Without it, the newest of the reference that can be used is meant.",
    example="20417",
)
API_VERSION: Final = Field(
    wire_name="input_APIVersion",
    name="api_version",
    kind=kinds.API_VERSION,
    description="The version of the two-step call.",
    example="3.1",
)
# No table of the documentation has it; the prose of every asynchronous page speaks of it.
RESPONSE_URL: Final = Field(
    wire_name="input_ResponseURL",
    name="response_url",
    kind=kinds.RESPONSE_URL,
    mandatory=False,
    description="Where the result is to be sent. Until asynchronous mode exists, it is checked "
    "and otherwise ignored; then a request that has it is answered at once with an "
    "acknowledgement. In calls with GET it counts in a JSON body only.",
    example="https://shop.example/mobile-money/results",
)


def optional(field: Field) -> Field:
    """The same field where an operation does not demand it."""
    return replace(field, mandatory=False)
