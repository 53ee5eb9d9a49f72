"""Mobile numbers where people read them: logs, metrics, traces and screens see them masked."""

from typing import Final

KEPT_AT_START: Final = 3
KEPT_AT_END: Final = 2
MASKED_CHARACTERS_MAX: Final = 20


def mask_msisdn(msisdn: str) -> str:
    """The number with all but its first three and last two characters replaced by `*`.

    The first three are the country's prefix, and the last two let an operator follow one customer
    through a few lines of a log, though a million other numbers look the same. What is shorter
    than ten characters is masked whole: it would give away too much of itself. The result has the
    length of the number, at most `MASKED_CHARACTERS_MAX`, since a caller can put anything of any
    length into the field.
    """
    length = min(len(msisdn), MASKED_CHARACTERS_MAX)
    hidden = length - KEPT_AT_START - KEPT_AT_END
    if hidden < KEPT_AT_START + KEPT_AT_END:
        return "*" * length
    return f"{msisdn[:KEPT_AT_START]}{'*' * hidden}{msisdn[-KEPT_AT_END:]}"
