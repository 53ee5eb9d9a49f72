"""An API key for a session key."""

from typing import Final

from pesalango_server.catalog import codes
from pesalango_server.catalog.answers import RESPONSE_CODE, RESPONSE_DESC, output
from pesalango_server.catalog.codes import by_check
from pesalango_server.catalog.markets import MARKETS
from pesalango_server.catalog.model import ERROR_NAME, Answer, Operation

OPERATION: Final = Operation(
    name="get_session",
    title="Session",
    summary="Exchanges the API key for a session key, with which all other calls are made.",
    method="GET",
    path="getSession/",
    product=None,
    markets=MARKETS,
    fields=(),
    answer=Answer(
        fields=(
            RESPONSE_CODE,
            RESPONSE_DESC,
            output(
                "output_SessionID",
                "session_id",
                "The session key: 32 hexadecimal digits, encrypted like the API key when used.",
                "4be1c07a92d84f56a3e0917bd25f6c38",
            ),
        ),
        # The table has no conversation to name; the reason takes the place of the session.
        refusal=(RESPONSE_CODE.wire_name, RESPONSE_DESC.wire_name, ERROR_NAME),
    ),
    codes=(
        by_check(codes.PROCESSED, 200),
        by_check(codes.SESSION_NOT_CREATED),
    ),
    unlisted_codes=(
        by_check(codes.INTERNAL_ERROR),
        by_check(codes.INVALID_MARKET),
    ),
    are_duplicates_checked=False,
)
