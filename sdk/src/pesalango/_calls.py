"""A method for each operation. Written by `make gen` from the server's catalog."""

from collections.abc import Mapping
from typing import Any

from pesalango._catalog import OPERATIONS
from pesalango._fields import Amount
from pesalango._flow import CallOptions
from pesalango._model import Operation
from pesalango._results import (
    B2bPaymentResult,
    B2cPaymentResult,
    C2bSingleStageResult,
    QueryTransactionStatusResult,
    ReversalResult,
)


class Calls:
    """The plain calls. Each raises `CallError`; none is sent twice by itself, but for a session that had ended."""

    def _call(self, operation: Operation, values: dict[str, object], options: CallOptions) -> Any:
        raise NotImplementedError

    def c2b_single_stage(
        self,
        *,
        amount: Amount,
        customer_msisdn: str,
        service_provider_code: str,
        transaction_reference: str,
        purchased_items_description: str,
        country: str | None = None,
        currency: str | None = None,
        third_party_conversation_id: str | None = None,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> C2bSingleStageResult:
        """Moves money from a customer, who is asked to approve, to an organisation.

        * `amount`: How much is to be paid, in the market's currency.
        * `customer_msisdn`: The customer's mobile number, with the country's prefix and no plus
          sign.
        * `country`: The market's, where it is left out.
        * `currency`: The market's, where it is left out.
        * `service_provider_code`: The shortcode of the organisation that the application acts for.
        * `transaction_reference`: What the payment is called in the organisation's books, such as
          an invoice.
        * `third_party_conversation_id`: Yours for this request, 1 to 32 letters and digits; made
          here where it is left out.
        * `purchased_items_description`: What is bought, in words.
        """
        result: C2bSingleStageResult = self._call(
            OPERATIONS["c2b_single_stage"],
            {
                "amount": amount,
                "customer_msisdn": customer_msisdn,
                "country": country,
                "currency": currency,
                "service_provider_code": service_provider_code,
                "transaction_reference": transaction_reference,
                "third_party_conversation_id": third_party_conversation_id,
                "purchased_items_description": purchased_items_description,
            },
            CallOptions(extra_fields, timeout, headers),
        )
        return result

    def b2c_payment(
        self,
        *,
        amount: Amount,
        customer_msisdn: str,
        service_provider_code: str,
        transaction_reference: str,
        payment_items_description: str,
        country: str | None = None,
        currency: str | None = None,
        third_party_conversation_id: str | None = None,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> B2cPaymentResult:
        """Moves money from an organisation to a customer, who is not asked.

        * `amount`: How much is to be paid, in the market's currency.
        * `customer_msisdn`: The customer's mobile number, with the country's prefix and no plus
          sign.
        * `country`: The market's, where it is left out.
        * `currency`: The market's, where it is left out.
        * `service_provider_code`: The shortcode of the organisation that the application acts for.
        * `transaction_reference`: What the payment is called in the organisation's books, such as
          an invoice.
        * `third_party_conversation_id`: Yours for this request, 1 to 32 letters and digits; made
          here where it is left out.
        * `payment_items_description`: What the customer is paid for, in words.
        """
        result: B2cPaymentResult = self._call(
            OPERATIONS["b2c_payment"],
            {
                "amount": amount,
                "customer_msisdn": customer_msisdn,
                "country": country,
                "currency": currency,
                "service_provider_code": service_provider_code,
                "transaction_reference": transaction_reference,
                "third_party_conversation_id": third_party_conversation_id,
                "payment_items_description": payment_items_description,
            },
            CallOptions(extra_fields, timeout, headers),
        )
        return result

    def b2b_payment(
        self,
        *,
        amount: Amount,
        receiver_party_code: str,
        primary_party_code: str,
        transaction_reference: str,
        purchased_items_description: str,
        country: str | None = None,
        currency: str | None = None,
        third_party_conversation_id: str | None = None,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> B2bPaymentResult:
        """Moves money from one organisation to another.

        * `amount`: How much is to be paid, in the market's currency.
        * `receiver_party_code`: The shortcode of the organisation that is paid, not the payer's
          own.
        * `country`: The market's, where it is left out.
        * `currency`: The market's, where it is left out.
        * `primary_party_code`: The shortcode of the organisation that pays, for which the
          application acts.
        * `transaction_reference`: What the payment is called in the organisation's books, such as
          an invoice.
        * `third_party_conversation_id`: Yours for this request, 1 to 32 letters and digits; made
          here where it is left out.
        * `purchased_items_description`: What is bought, in words.
        """
        result: B2bPaymentResult = self._call(
            OPERATIONS["b2b_payment"],
            {
                "amount": amount,
                "receiver_party_code": receiver_party_code,
                "country": country,
                "currency": currency,
                "primary_party_code": primary_party_code,
                "transaction_reference": transaction_reference,
                "third_party_conversation_id": third_party_conversation_id,
                "purchased_items_description": purchased_items_description,
            },
            CallOptions(extra_fields, timeout, headers),
        )
        return result

    def reversal(
        self,
        *,
        transaction_id: str,
        service_provider_code: str,
        reversal_amount: Amount | None = None,
        country: str | None = None,
        third_party_conversation_id: str | None = None,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ReversalResult:
        """Gives the money of a completed transaction back, in full or in part.

        * `reversal_amount`: How much is to go back. Without it, all that is left of the original.
          May be left out.
        * `country`: The market's, where it is left out.
        * `transaction_id`: The transaction that is to be reversed.
        * `service_provider_code`: The shortcode of the organisation that the application acts for.
        * `third_party_conversation_id`: Yours for this request, 1 to 32 letters and digits; made
          here where it is left out.
        """
        result: ReversalResult = self._call(
            OPERATIONS["reversal"],
            {
                "reversal_amount": reversal_amount,
                "country": country,
                "transaction_id": transaction_id,
                "service_provider_code": service_provider_code,
                "third_party_conversation_id": third_party_conversation_id,
            },
            CallOptions(extra_fields, timeout, headers),
        )
        return result

    def query_transaction_status(
        self,
        *,
        query_reference: str,
        service_provider_code: str,
        country: str | None = None,
        third_party_conversation_id: str | None = None,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> QueryTransactionStatusResult:
        """Tells the state of an earlier request, by any of its three ids.

        * `query_reference`: The request that is asked about. Its TransactionID is tried first, then
          its ThirdPartyConversationID, then its ConversationID.
        * `country`: The market's, where it is left out.
        * `service_provider_code`: The shortcode of the organisation that the application acts for.
        * `third_party_conversation_id`: Yours for this request, 1 to 32 letters and digits; made
          here where it is left out.
        """
        result: QueryTransactionStatusResult = self._call(
            OPERATIONS["query_transaction_status"],
            {
                "query_reference": query_reference,
                "country": country,
                "service_provider_code": service_provider_code,
                "third_party_conversation_id": third_party_conversation_id,
            },
            CallOptions(extra_fields, timeout, headers),
        )
        return result


class AsyncCalls:
    """The asynchronous calls. Each raises `CallError`; none is sent twice by itself, but for a session that had ended."""

    async def _call(
        self, operation: Operation, values: dict[str, object], options: CallOptions
    ) -> Any:
        raise NotImplementedError

    async def c2b_single_stage(
        self,
        *,
        amount: Amount,
        customer_msisdn: str,
        service_provider_code: str,
        transaction_reference: str,
        purchased_items_description: str,
        country: str | None = None,
        currency: str | None = None,
        third_party_conversation_id: str | None = None,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> C2bSingleStageResult:
        """Moves money from a customer, who is asked to approve, to an organisation.

        * `amount`: How much is to be paid, in the market's currency.
        * `customer_msisdn`: The customer's mobile number, with the country's prefix and no plus
          sign.
        * `country`: The market's, where it is left out.
        * `currency`: The market's, where it is left out.
        * `service_provider_code`: The shortcode of the organisation that the application acts for.
        * `transaction_reference`: What the payment is called in the organisation's books, such as
          an invoice.
        * `third_party_conversation_id`: Yours for this request, 1 to 32 letters and digits; made
          here where it is left out.
        * `purchased_items_description`: What is bought, in words.
        """
        result: C2bSingleStageResult = await self._call(
            OPERATIONS["c2b_single_stage"],
            {
                "amount": amount,
                "customer_msisdn": customer_msisdn,
                "country": country,
                "currency": currency,
                "service_provider_code": service_provider_code,
                "transaction_reference": transaction_reference,
                "third_party_conversation_id": third_party_conversation_id,
                "purchased_items_description": purchased_items_description,
            },
            CallOptions(extra_fields, timeout, headers),
        )
        return result

    async def b2c_payment(
        self,
        *,
        amount: Amount,
        customer_msisdn: str,
        service_provider_code: str,
        transaction_reference: str,
        payment_items_description: str,
        country: str | None = None,
        currency: str | None = None,
        third_party_conversation_id: str | None = None,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> B2cPaymentResult:
        """Moves money from an organisation to a customer, who is not asked.

        * `amount`: How much is to be paid, in the market's currency.
        * `customer_msisdn`: The customer's mobile number, with the country's prefix and no plus
          sign.
        * `country`: The market's, where it is left out.
        * `currency`: The market's, where it is left out.
        * `service_provider_code`: The shortcode of the organisation that the application acts for.
        * `transaction_reference`: What the payment is called in the organisation's books, such as
          an invoice.
        * `third_party_conversation_id`: Yours for this request, 1 to 32 letters and digits; made
          here where it is left out.
        * `payment_items_description`: What the customer is paid for, in words.
        """
        result: B2cPaymentResult = await self._call(
            OPERATIONS["b2c_payment"],
            {
                "amount": amount,
                "customer_msisdn": customer_msisdn,
                "country": country,
                "currency": currency,
                "service_provider_code": service_provider_code,
                "transaction_reference": transaction_reference,
                "third_party_conversation_id": third_party_conversation_id,
                "payment_items_description": payment_items_description,
            },
            CallOptions(extra_fields, timeout, headers),
        )
        return result

    async def b2b_payment(
        self,
        *,
        amount: Amount,
        receiver_party_code: str,
        primary_party_code: str,
        transaction_reference: str,
        purchased_items_description: str,
        country: str | None = None,
        currency: str | None = None,
        third_party_conversation_id: str | None = None,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> B2bPaymentResult:
        """Moves money from one organisation to another.

        * `amount`: How much is to be paid, in the market's currency.
        * `receiver_party_code`: The shortcode of the organisation that is paid, not the payer's
          own.
        * `country`: The market's, where it is left out.
        * `currency`: The market's, where it is left out.
        * `primary_party_code`: The shortcode of the organisation that pays, for which the
          application acts.
        * `transaction_reference`: What the payment is called in the organisation's books, such as
          an invoice.
        * `third_party_conversation_id`: Yours for this request, 1 to 32 letters and digits; made
          here where it is left out.
        * `purchased_items_description`: What is bought, in words.
        """
        result: B2bPaymentResult = await self._call(
            OPERATIONS["b2b_payment"],
            {
                "amount": amount,
                "receiver_party_code": receiver_party_code,
                "country": country,
                "currency": currency,
                "primary_party_code": primary_party_code,
                "transaction_reference": transaction_reference,
                "third_party_conversation_id": third_party_conversation_id,
                "purchased_items_description": purchased_items_description,
            },
            CallOptions(extra_fields, timeout, headers),
        )
        return result

    async def reversal(
        self,
        *,
        transaction_id: str,
        service_provider_code: str,
        reversal_amount: Amount | None = None,
        country: str | None = None,
        third_party_conversation_id: str | None = None,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> ReversalResult:
        """Gives the money of a completed transaction back, in full or in part.

        * `reversal_amount`: How much is to go back. Without it, all that is left of the original.
          May be left out.
        * `country`: The market's, where it is left out.
        * `transaction_id`: The transaction that is to be reversed.
        * `service_provider_code`: The shortcode of the organisation that the application acts for.
        * `third_party_conversation_id`: Yours for this request, 1 to 32 letters and digits; made
          here where it is left out.
        """
        result: ReversalResult = await self._call(
            OPERATIONS["reversal"],
            {
                "reversal_amount": reversal_amount,
                "country": country,
                "transaction_id": transaction_id,
                "service_provider_code": service_provider_code,
                "third_party_conversation_id": third_party_conversation_id,
            },
            CallOptions(extra_fields, timeout, headers),
        )
        return result

    async def query_transaction_status(
        self,
        *,
        query_reference: str,
        service_provider_code: str,
        country: str | None = None,
        third_party_conversation_id: str | None = None,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> QueryTransactionStatusResult:
        """Tells the state of an earlier request, by any of its three ids.

        * `query_reference`: The request that is asked about. Its TransactionID is tried first, then
          its ThirdPartyConversationID, then its ConversationID.
        * `country`: The market's, where it is left out.
        * `service_provider_code`: The shortcode of the organisation that the application acts for.
        * `third_party_conversation_id`: Yours for this request, 1 to 32 letters and digits; made
          here where it is left out.
        """
        result: QueryTransactionStatusResult = await self._call(
            OPERATIONS["query_transaction_status"],
            {
                "query_reference": query_reference,
                "country": country,
                "service_provider_code": service_provider_code,
                "third_party_conversation_id": third_party_conversation_id,
            },
            CallOptions(extra_fields, timeout, headers),
        )
        return result
