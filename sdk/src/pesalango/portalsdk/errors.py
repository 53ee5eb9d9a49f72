"""What `APIRequest.execute` raises where there is no answer to go by, and what it says of the money.

Whatever was answered by the gateway, a refusal too, is an `APIResponse` and no exception.
"""

from typing import ClassVar


class APIError(Exception):
    """There is no answer to go by. `money_may_have_moved` says whether the payment is in doubt.

    Where it is, ask for the status with the payment's ThirdPartyConversationID, or send the very
    same request again: one ThirdPartyConversationID has one effect at most. Never make another
    one for the same payment before that.
    """

    money_may_have_moved: ClassVar[bool] = True


class NotSent(APIError, ConnectionError):
    """Nobody could be connected to: refused, unreachable, no such host, or not trusted (TLS).

    The money has not moved by this request: nothing of it has left the program. Was the same
    payment sent before, then that one is as unknown as it was.
    """

    money_may_have_moved = False


class NoAnswer(APIError, ConnectionError):
    """The connection broke before the whole answer was there.

    Whether the money has moved is unknown: the request may have arrived.
    """


class TimedOut(APIError, TimeoutError):
    """The request's `timeout_s` went by without an answer.

    Whether the money has moved is unknown: the customer may be typing the PIN at this moment.
    """


class UnreadableAnswer(APIError, ValueError):
    """What came back is not a JSON object, so it came from a proxy or from another server.

    `status_code` is its HTTP status. Whether the money has moved is unknown: a proxy may have
    given up on a request that it has passed on.
    """

    def __init__(self, message: str, *, status_code: int) -> None:
        super().__init__(message)
        self.status_code = status_code
