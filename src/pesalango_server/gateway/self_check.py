"""The self-check: one payment through the server's own HTTP, as a merchant's program makes it."""

import base64
import http.client
import json
import secrets
from collections.abc import Mapping
from urllib.parse import urlencode

import msgspec
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from pesalango_server.catalog.model import Market


class SelfCheckFailed(Exception):
    """The server did not do what it is for; the message says at which step."""


class SelfCheckReport(msgspec.Struct, frozen=True):
    """What the self-check did."""

    transaction_id: str
    amount: str
    currency: str
    transaction_status: str


def run_self_check(
    connection: http.client.HTTPConnection,
    *,
    public_key: str,
    api_key: str,
    market: Market,
    msisdn: str,
    organisation: str,
) -> SelfCheckReport:
    """Session, payment of the smallest amount, query. Raises `SelfCheckFailed`."""
    key = load_der_public_key(base64.b64decode(public_key))
    if not isinstance(key, rsa.RSAPublicKey):
        raise SelfCheckFailed("the platform's public key is not an RSA key")
    root = f"/sandbox/ipg/v2/{market.path_value}"
    try:
        session = _call(connection, "GET", f"{root}/getSession/", _bearer(key, api_key), None)
        bearer = _bearer(key, session["output_SessionID"])
        reference = secrets.token_hex(16)
        payment = _call(
            connection,
            "POST",
            f"{root}/c2bPayment/singleStage/",
            bearer,
            {
                "input_Amount": "0.01",
                "input_CustomerMSISDN": msisdn,
                "input_Country": market.country,
                "input_Currency": market.currency,
                "input_ServiceProviderCode": organisation,
                "input_TransactionReference": "SelfCheck",
                "input_ThirdPartyConversationID": reference,
                "input_PurchasedItemsDesc": "Self check",
            },
        )
        question = {
            "input_QueryReference": payment["output_TransactionID"],
            "input_ServiceProviderCode": organisation,
            "input_ThirdPartyConversationID": secrets.token_hex(16),
            "input_Country": market.country,
        }
        path = f"{root}/queryTransactionStatus/?{urlencode(question)}"
        status = _call(connection, "GET", path, bearer, None)
    except (OSError, http.client.HTTPException, KeyError, ValueError) as error:
        raise SelfCheckFailed(f"the self-check broke off: {error!r}") from error
    if status["output_ResponseTransactionStatus"] != "Completed":
        raise SelfCheckFailed("the self-check's payment is not completed")
    return SelfCheckReport(
        transaction_id=payment["output_TransactionID"],
        amount="0.01",
        currency=market.currency,
        transaction_status=status["output_ResponseTransactionStatus"],
    )


def _bearer(key: rsa.RSAPublicKey, secret: str) -> str:
    return base64.b64encode(key.encrypt(secret.encode(), padding.PKCS1v15())).decode()


def _call(
    connection: http.client.HTTPConnection,
    method: str,
    path: str,
    bearer: str,
    body: Mapping[str, str] | None,
) -> dict[str, str]:
    headers = {
        "Authorization": f"Bearer {bearer}",
        "Origin": "127.0.0.1",
        "Content-Type": "application/json",
    }
    connection.request(method, path, json.dumps(body) if body else None, headers)
    answer = connection.getresponse()
    content: dict[str, str] = json.loads(answer.read())
    if content.get("output_ResponseCode") != "INS-0":
        raise SelfCheckFailed(
            f"{method} {path.partition('?')[0]} was answered {answer.status}"
            f" {content.get('output_ResponseCode') or content.get('output_error')}"
        )
    return content
