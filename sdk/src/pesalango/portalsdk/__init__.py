"""The interface of the operator's published Python SDK, for programs that were written for it.

Change one import, `from portalsdk import …`, to this package; the rest of the program stays:

    context = APIContext()
    context.api_key = "…"
    context.public_key = "…"
    context.ssl = True
    context.method_type = APIMethodType.GET
    context.address = "gateway.example"
    context.port = 443
    context.path = "/sandbox/ipg/v2/vodacomTZN/getSession/"
    context.add_header("Origin", "*")
    response = APIRequest(context).execute()
    response.body["output_SessionID"]

It stands by itself and keeps nothing between two calls: no connection, no parameter, no default.
"""

from .context import APIContext, APIMethodType
from .errors import APIError, NoAnswer, NotSent, TimedOut, UnreadableAnswer
from .request import APIRequest
from .response import APIResponse

__all__ = [
    "APIContext",
    "APIError",
    "APIMethodType",
    "APIRequest",
    "APIResponse",
    "NoAnswer",
    "NotSent",
    "TimedOut",
    "UnreadableAnswer",
]
