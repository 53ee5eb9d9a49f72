"""Takes secrets, PINs and mobile numbers out of what is about to be logged."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from pesalango_server.kernel.msisdn import mask_msisdn

MASK: Final = "***"
DEPTH_MAX: Final = 8
"""Deeper than this, a value is not looked into but masked whole."""

_SECRET_WORDS: Final = frozenset(
    {
        *("apikey", "authorisation", "authorization", "bearer", "cookie", "cookies"),
        *("credential", "credentials", "key", "keys", "otp", "passphrase", "passwd", "password"),
        *("passwords", "pem", "pepper", "peppers", "pin", "pins", "secret", "secrets", "token"),
        *("tokens",),
    }
)
# A number with its unit is no mobile number, though milliseconds since 1970 have 13 digits.
_UNITS: Final = ("_bytes", "_minor", "_ms", "_ns", "_s", "_us")
# References that we make ourselves hold no number of anybody.
_OWN_REFERENCES: Final = frozenset({"conversation_id", "digest", "transaction_id"})
_match_own_reference = re.compile(r"[0-9A-Za-z]{12,64}").fullmatch

_split_words = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+").findall

# Each keeps what its group has and masks the rest; the first ones first.
_PATTERNS: Final = (
    # A key block, cut off or not.
    re.compile(
        r"()-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
        re.DOTALL,
    ),
    # A header, to the end of its line: whatever its scheme, what follows is secret.
    re.compile(r"(?i)(authori[sz]ation[\"']?\s*[=:]\s*[\"']?)[^\"'\r\n]+"),
    # A bearer that stands elsewhere.
    re.compile(r"(?i)(\bbearer(?:%20|[\s:=\"'+])+)[^\s\"',;&]+"),
    # name=value, "name": "value", as in query strings, bodies and connection strings.
    re.compile(
        r"(?i)((?:token|secret|passw(?:or)?d|(?:api|session)[_-]?key|session[_-]?id|\bpin)"
        r"[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&]+"
    ),
    # The password in the address of a database.
    re.compile(r"(?<=://)([^\s/:@]*:)[^\s/]+(?=@)"),
    # What has the look of an API key, a session key, or a ciphertext.
    re.compile(r"(?<![0-9A-Za-z])()[0-9a-z]{32}(?![0-9A-Za-z])"),
    re.compile(r"()[0-9A-Za-z+/]{100,}={0,2}"),
)
_KEEP_AND_MASK: Final = rf"\g<1>{MASK}"
_NUMBERS: Final = re.compile(r"(?<![0-9])[0-9]{10,15}(?![0-9])")


def is_secret_name(name: str) -> bool:
    """Whether a field of this name is masked whole, whatever it holds.

    Words of the name count, not letters in a row: `api_key` and `SessionKey` are secret,
    `monkey` and `shipping` are not.
    """
    return any(word.lower() in _SECRET_WORDS for word in _split_words(name))


def mask_text(text: str) -> str:
    """`text` without secrets, and with the middle of mobile numbers (10 to 15 digits) hidden."""
    for pattern in _PATTERNS:
        text = pattern.sub(_KEEP_AND_MASK, text)
    return _NUMBERS.sub(_mask_number, text)


def _mask_number(match: re.Match[str]) -> str:
    return mask_msisdn(match[0])


def mask_value(name: str, value: Any, *, depth: int = 0) -> Any:
    """The value of a field as it may be logged; what is inside of it is masked too."""
    if value is None or isinstance(value, bool | float):
        return MASK if value is not None and is_secret_name(name) else value
    if is_secret_name(name) or depth >= DEPTH_MAX:
        return MASK
    if isinstance(value, int):
        if name.endswith(_UNITS):
            return value
        masked = mask_text(str(value))
        return value if masked == str(value) else masked
    if isinstance(value, str):
        if name in _OWN_REFERENCES and _match_own_reference(value):
            return value
        return mask_text(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return mask_text(bytes(value).decode("latin-1"))
    if isinstance(value, Mapping):
        return {
            mask_text(str(key)): mask_value(str(key), item, depth=depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, Iterable):
        return [mask_value(name, item, depth=depth + 1) for item in value]
    # Whatever else it is, its text is what would be logged.
    return mask_text(str(value))
