"""Payments with a key. Written by `make gen` from the server's catalog."""

from collections.abc import Mapping

from pesalango._catalog import OPERATIONS
from pesalango._fields import Amount
from pesalango._flow import CallOptions
from pesalango._intents import Payment
from pesalango._model import Operation


class PaymentCalls:
    """Each returns a completed payment, or raises: `PaymentRefusedError` where the money did not move, `PaymentUnsettledError` where that is not known yet."""

    def _pay(
        self,
        operation: Operation,
        key: str,
        values: dict[str, object],
        options: CallOptions,
        within: float | None,
    ) -> Payment:
        raise NotImplementedError

    def collect(
        self,
        *,
        key: str,
        amount: Amount,
        customer_msisdn: str,
        service_provider_code: str,
        transaction_reference: str,
        purchased_items_description: str,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        within: float | None = None,
    ) -> Payment:
        """Take money from a customer, who is asked to approve.

        * `key`: your name for this payment, 1 to 200 printable characters, such as the order's
          number. The same key is the same payment for ever: it is paid once at most.
        * `amount`: How much is to be paid, in the market's currency.
        * `customer_msisdn`: The customer's mobile number, with the country's prefix and no plus
          sign.
        * `service_provider_code`: The shortcode of the organisation that the application acts for.
        * `transaction_reference`: What the payment is called in the organisation's books, such as
          an invoice.
        * `purchased_items_description`: What is bought, in words.
        * `within`: seconds for learning what became of it; 120 where it is left out.
        """
        return self._pay(
            OPERATIONS["c2b_single_stage"],
            key,
            {
                "amount": amount,
                "customer_msisdn": customer_msisdn,
                "service_provider_code": service_provider_code,
                "transaction_reference": transaction_reference,
                "purchased_items_description": purchased_items_description,
            },
            CallOptions(extra_fields, timeout, headers),
            within,
        )

    def pay_out(
        self,
        *,
        key: str,
        amount: Amount,
        customer_msisdn: str,
        service_provider_code: str,
        transaction_reference: str,
        payment_items_description: str,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        within: float | None = None,
    ) -> Payment:
        """Pay a customer.

        * `key`: your name for this payment, 1 to 200 printable characters, such as the order's
          number. The same key is the same payment for ever: it is paid once at most.
        * `amount`: How much is to be paid, in the market's currency.
        * `customer_msisdn`: The customer's mobile number, with the country's prefix and no plus
          sign.
        * `service_provider_code`: The shortcode of the organisation that the application acts for.
        * `transaction_reference`: What the payment is called in the organisation's books, such as
          an invoice.
        * `payment_items_description`: What the customer is paid for, in words.
        * `within`: seconds for learning what became of it; 120 where it is left out.
        """
        return self._pay(
            OPERATIONS["b2c_payment"],
            key,
            {
                "amount": amount,
                "customer_msisdn": customer_msisdn,
                "service_provider_code": service_provider_code,
                "transaction_reference": transaction_reference,
                "payment_items_description": payment_items_description,
            },
            CallOptions(extra_fields, timeout, headers),
            within,
        )

    def pay_business(
        self,
        *,
        key: str,
        amount: Amount,
        receiver_party_code: str,
        primary_party_code: str,
        transaction_reference: str,
        purchased_items_description: str,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        within: float | None = None,
    ) -> Payment:
        """Pay another organisation.

        * `key`: your name for this payment, 1 to 200 printable characters, such as the order's
          number. The same key is the same payment for ever: it is paid once at most.
        * `amount`: How much is to be paid, in the market's currency.
        * `receiver_party_code`: The shortcode of the organisation that is paid, not the payer's
          own.
        * `primary_party_code`: The shortcode of the organisation that pays, for which the
          application acts.
        * `transaction_reference`: What the payment is called in the organisation's books, such as
          an invoice.
        * `purchased_items_description`: What is bought, in words.
        * `within`: seconds for learning what became of it; 120 where it is left out.
        """
        return self._pay(
            OPERATIONS["b2b_payment"],
            key,
            {
                "amount": amount,
                "receiver_party_code": receiver_party_code,
                "primary_party_code": primary_party_code,
                "transaction_reference": transaction_reference,
                "purchased_items_description": purchased_items_description,
            },
            CallOptions(extra_fields, timeout, headers),
            within,
        )

    def reverse(
        self,
        *,
        key: str,
        transaction_id: str,
        service_provider_code: str,
        reversal_amount: Amount | None = None,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        within: float | None = None,
    ) -> Payment:
        """Give a payment back, in full (no amount) or in part.

        * `key`: your name for this payment, 1 to 200 printable characters, such as the order's
          number. The same key is the same payment for ever: it is paid once at most.
        * `reversal_amount`: How much is to go back. Without it, all that is left of the original.
          May be left out.
        * `transaction_id`: The transaction that is to be reversed.
        * `service_provider_code`: The shortcode of the organisation that the application acts for.
        * `within`: seconds for learning what became of it; 120 where it is left out.
        """
        return self._pay(
            OPERATIONS["reversal"],
            key,
            {
                "reversal_amount": reversal_amount,
                "transaction_id": transaction_id,
                "service_provider_code": service_provider_code,
            },
            CallOptions(extra_fields, timeout, headers),
            within,
        )


class AsyncPaymentCalls:
    """Each returns a completed payment, or raises: `PaymentRefusedError` where the money did not move, `PaymentUnsettledError` where that is not known yet."""

    async def _pay(
        self,
        operation: Operation,
        key: str,
        values: dict[str, object],
        options: CallOptions,
        within: float | None,
    ) -> Payment:
        raise NotImplementedError

    async def collect(
        self,
        *,
        key: str,
        amount: Amount,
        customer_msisdn: str,
        service_provider_code: str,
        transaction_reference: str,
        purchased_items_description: str,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        within: float | None = None,
    ) -> Payment:
        """Take money from a customer, who is asked to approve.

        * `key`: your name for this payment, 1 to 200 printable characters, such as the order's
          number. The same key is the same payment for ever: it is paid once at most.
        * `amount`: How much is to be paid, in the market's currency.
        * `customer_msisdn`: The customer's mobile number, with the country's prefix and no plus
          sign.
        * `service_provider_code`: The shortcode of the organisation that the application acts for.
        * `transaction_reference`: What the payment is called in the organisation's books, such as
          an invoice.
        * `purchased_items_description`: What is bought, in words.
        * `within`: seconds for learning what became of it; 120 where it is left out.
        """
        return await self._pay(
            OPERATIONS["c2b_single_stage"],
            key,
            {
                "amount": amount,
                "customer_msisdn": customer_msisdn,
                "service_provider_code": service_provider_code,
                "transaction_reference": transaction_reference,
                "purchased_items_description": purchased_items_description,
            },
            CallOptions(extra_fields, timeout, headers),
            within,
        )

    async def pay_out(
        self,
        *,
        key: str,
        amount: Amount,
        customer_msisdn: str,
        service_provider_code: str,
        transaction_reference: str,
        payment_items_description: str,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        within: float | None = None,
    ) -> Payment:
        """Pay a customer.

        * `key`: your name for this payment, 1 to 200 printable characters, such as the order's
          number. The same key is the same payment for ever: it is paid once at most.
        * `amount`: How much is to be paid, in the market's currency.
        * `customer_msisdn`: The customer's mobile number, with the country's prefix and no plus
          sign.
        * `service_provider_code`: The shortcode of the organisation that the application acts for.
        * `transaction_reference`: What the payment is called in the organisation's books, such as
          an invoice.
        * `payment_items_description`: What the customer is paid for, in words.
        * `within`: seconds for learning what became of it; 120 where it is left out.
        """
        return await self._pay(
            OPERATIONS["b2c_payment"],
            key,
            {
                "amount": amount,
                "customer_msisdn": customer_msisdn,
                "service_provider_code": service_provider_code,
                "transaction_reference": transaction_reference,
                "payment_items_description": payment_items_description,
            },
            CallOptions(extra_fields, timeout, headers),
            within,
        )

    async def pay_business(
        self,
        *,
        key: str,
        amount: Amount,
        receiver_party_code: str,
        primary_party_code: str,
        transaction_reference: str,
        purchased_items_description: str,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        within: float | None = None,
    ) -> Payment:
        """Pay another organisation.

        * `key`: your name for this payment, 1 to 200 printable characters, such as the order's
          number. The same key is the same payment for ever: it is paid once at most.
        * `amount`: How much is to be paid, in the market's currency.
        * `receiver_party_code`: The shortcode of the organisation that is paid, not the payer's
          own.
        * `primary_party_code`: The shortcode of the organisation that pays, for which the
          application acts.
        * `transaction_reference`: What the payment is called in the organisation's books, such as
          an invoice.
        * `purchased_items_description`: What is bought, in words.
        * `within`: seconds for learning what became of it; 120 where it is left out.
        """
        return await self._pay(
            OPERATIONS["b2b_payment"],
            key,
            {
                "amount": amount,
                "receiver_party_code": receiver_party_code,
                "primary_party_code": primary_party_code,
                "transaction_reference": transaction_reference,
                "purchased_items_description": purchased_items_description,
            },
            CallOptions(extra_fields, timeout, headers),
            within,
        )

    async def reverse(
        self,
        *,
        key: str,
        transaction_id: str,
        service_provider_code: str,
        reversal_amount: Amount | None = None,
        extra_fields: Mapping[str, str] | None = None,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        within: float | None = None,
    ) -> Payment:
        """Give a payment back, in full (no amount) or in part.

        * `key`: your name for this payment, 1 to 200 printable characters, such as the order's
          number. The same key is the same payment for ever: it is paid once at most.
        * `reversal_amount`: How much is to go back. Without it, all that is left of the original.
          May be left out.
        * `transaction_id`: The transaction that is to be reversed.
        * `service_provider_code`: The shortcode of the organisation that the application acts for.
        * `within`: seconds for learning what became of it; 120 where it is left out.
        """
        return await self._pay(
            OPERATIONS["reversal"],
            key,
            {
                "reversal_amount": reversal_amount,
                "transaction_id": transaction_id,
                "service_provider_code": service_provider_code,
            },
            CallOptions(extra_fields, timeout, headers),
            within,
        )
