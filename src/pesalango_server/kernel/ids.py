"""One id, two faces: 63-bit ids of payments, and the two public references made of them.

An id is milliseconds since 2025-01-01 UTC (41 bits), the ledger's number (10 bits) and a counter
(12 bits). Ids are minted under the ledger's lock, so they are unique without a check and their
order is the order of commit. TransactionID and ConversationID carry the id and a few keyed bits:
both decode to the primary key without an index, and junk is told apart without a read.
"""

import string
from hashlib import blake2b

EPOCH_MS = 1_735_689_600_000
LEDGER_MAX = (1 << 10) - 1
COUNTER_MAX = (1 << 12) - 1
ID_MAX = (1 << 63) - 1

_COUNTER_BITS = 12
LEDGER_BITS = LEDGER_MAX << _COUNTER_BITS
"""Where an id has its ledger's number."""

_TIME_SHIFT = 22
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase
_LETTERS = string.ascii_letters
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_PAIRS = [high + low for high in _DIGITS for low in _DIGITS]
_PAIR_BASE = len(_PAIRS)
_TRANSACTION_ID_LENGTH = 12
_CONVERSATION_ID_LENGTH = 32


def mint_id(*, last_id: int, wall_ms: int, ledger: int) -> int:
    """The next id of a ledger: later than `last_id`, and not before `wall_ms`.

    A clock that goes back, or 4 096 ids in one millisecond, borrow from the milliseconds to come.
    """
    fresh = (max(wall_ms - EPOCH_MS, 0) << _TIME_SHIFT) | (ledger << _COUNTER_BITS)
    return fresh if fresh > last_id else follow_id(last_id)


def follow_id(known_id: int) -> int:
    """The id that is minted next in the batch that minted `known_id`: its clock stands still."""
    if known_id & COUNTER_MAX < COUNTER_MAX:
        return known_id + 1
    return (((known_id >> _TIME_SHIFT) + 1) << _TIME_SHIFT) | (known_id & LEDGER_BITS)


def write_follow_id(known_id: str) -> str:
    """`follow_id` in the SQL of both databases, of an id that is an expression there."""
    return (
        f"CASE WHEN ({known_id} & {COUNTER_MAX}) < {COUNTER_MAX} THEN {known_id} + 1"
        f" ELSE ((({known_id} >> {_TIME_SHIFT}) + 1) << {_TIME_SHIFT})"
        f" | ({known_id} & {LEDGER_BITS}) END"
    )


def ledger_of(payment_id: int) -> int:
    """The number of the ledger that an id was minted in."""
    return (payment_id >> _COUNTER_BITS) & LEDGER_MAX


def minted_at_ms(payment_id: int) -> int:
    """The wall-clock milliseconds since 1970 that an id carries."""
    return (payment_id >> _TIME_SHIFT) + EPOCH_MS


def read_transaction_id(text: str) -> int | None:
    """The id that a TransactionID spells, its check letter not judged; None if it spells none."""
    if len(text) != _TRANSACTION_ID_LENGTH:
        return None
    payment_id = 0
    for digit in text[:-1]:
        value = _VALUES.get(digit)
        if value is None:
            return None
        payment_id = payment_id * 62 + value
    return payment_id if payment_id <= ID_MAX else None


class IdCodec:
    """Turns ids into public references and back; `key` is the installation's secret for it."""

    def __init__(self, key: bytes) -> None:
        self._keyed = blake2b(key=key, digest_size=9)

    def _check(self, payment_id: int) -> bytes:
        check = self._keyed.copy()
        check.update(payment_id.to_bytes(8, "big"))
        return check.digest()

    def encode(self, payment_id: int) -> tuple[str, str]:
        """(TransactionID, ConversationID) of an id."""
        check = self._check(payment_id)
        pairs, rest = _PAIRS, payment_id
        rest, pair_5 = divmod(rest, _PAIR_BASE)
        rest, pair_4 = divmod(rest, _PAIR_BASE)
        rest, pair_3 = divmod(rest, _PAIR_BASE)
        rest, pair_2 = divmod(rest, _PAIR_BASE)
        rest, pair_1 = divmod(rest, _PAIR_BASE)
        transaction_id = (
            f"{_DIGITS[rest]}{pairs[pair_1]}{pairs[pair_2]}{pairs[pair_3]}"
            f"{pairs[pair_4]}{pairs[pair_5]}{_LETTERS[check[8] % 52]}"
        )
        return transaction_id, f"{payment_id:016x}{check[:8].hex()}"

    def decode_transaction_id(self, text: str) -> int | None:
        """The id in a TransactionID, or None for anything this installation never gave out."""
        payment_id = read_transaction_id(text)
        if payment_id is None or text[-1] != _LETTERS[self._check(payment_id)[8] % 52]:
            return None
        return payment_id

    def decode_conversation_id(self, text: str) -> int | None:
        """The id in a ConversationID, or None for anything this installation never gave out."""
        if len(text) != _CONVERSATION_ID_LENGTH or not set(text) <= set("0123456789abcdef"):
            return None
        payment_id = int(text[:16], 16)
        if payment_id > ID_MAX or text[16:] != self._check(payment_id)[:8].hex():
            return None
        return payment_id


def make_unrecorded_conversation_id(random_bits: int) -> str:
    """A ConversationID for an answer without a row, of 128 random bits.

    Its first digit is 8 to f, an id's is 0 to 7: it can never be looked up by mistake.
    """
    return f"{random_bits | 1 << 127:032x}"
