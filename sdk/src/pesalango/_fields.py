"""Values of a request as text, or a clear error before anything is sent."""

from collections.abc import Mapping
from decimal import Decimal

from pesalango._model import Operation

Amount = Decimal | int | str
"""Money, in the currency's main unit: `Decimal("10.50")`, `10`, `"10.50"`. Never a float."""


def render_amount(name: str, value: object) -> str:
    """The amount in digits, without exponent. Raises TypeError, ValueError."""
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str):
        raise TypeError(
            f"{name} takes a Decimal, an int or a str, not {type(value).__name__}"
            + (": a float is not exact" if isinstance(value, float) else "")
        )
    if isinstance(value, str):
        # As it stands: the gateway refuses what is none, and its words say why.
        if not value:
            raise ValueError(f"{name} is empty")
        return check_text(name, value)
    number = Decimal(value)
    if not number.is_finite():
        raise ValueError(f"{name} is not a number: {value}")
    return format(number, "f")


def check_text(name: str, text: str) -> str:
    """The text. Raises ValueError for half a character, which no request can carry."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name} holds half a character (a lone surrogate)") from None
    return text


def render_fields(
    operation: Operation,
    values: Mapping[str, object],
    extra_fields: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """The request by names on the wire, in documented order; what is None is left out.

    `extra_fields`, by their names on the wire, come last and win. Raises TypeError or ValueError
    for a value that no request could carry.
    """
    body: dict[str, str] = {}
    for name, wire_name in operation.fields.items():
        value = values.get(name)
        if value is None:
            if name not in operation.optional and wire_name not in (extra_fields or ()):
                raise TypeError(f"{operation.name} needs {name}")
            continue
        if name in operation.amounts:
            body[wire_name] = render_amount(name, value)
            continue
        if not isinstance(value, str):
            raise TypeError(f"{name} takes a str, not {type(value).__name__}")
        if not value:
            raise ValueError(f"{name} is empty")
        body[wire_name] = check_text(name, value)
    for wire_name, value in (extra_fields or {}).items():
        given: tuple[object, object] = (wire_name, value)
        if not all(isinstance(part, str) for part in given):
            raise TypeError("extra_fields takes names on the wire and values, both str")
        body[check_text("extra_fields", wire_name)] = check_text("extra_fields", value)
    return body
