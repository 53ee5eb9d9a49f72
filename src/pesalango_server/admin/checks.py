"""What the values of a request may be. Each check returns the value to keep, or raises."""

import re
from collections.abc import Callable, Collection, Iterable
from typing import Final

from pesalango_server.admin.errors import refuse
from pesalango_server.applications.model import ENVIRONMENTS, ApplicationStatus
from pesalango_server.catalog import kinds
from pesalango_server.catalog.markets import MARKETS, MARKETS_BY_PATH_VALUE
from pesalango_server.catalog.model import Market, Product
from pesalango_server.http.addresses import normalise_host, parse_address, parse_network
from pesalango_server.kernel.money import AMOUNT_MAX_MINOR, format_amount_minor, parse_amount_minor
from pesalango_server.ledger.model import Answer, CustomerStatus, OrganisationStatus

NAME_CHARACTERS_MAX: Final = 100
REFERENCE_CHARACTERS_MAX: Final = 100
SETTING_ITEMS_MAX: Final = 1_000
"""Origins, sources or organisations of one application."""

PRODUCTS: Final = tuple(sorted(product.value for product in Product))
MARKET_PATHS: Final = tuple(market.path_value for market in MARKETS)

CUSTOMER_STATUSES: Final = {status.name.lower(): status for status in CustomerStatus}
ORGANISATION_STATUSES: Final = {status.name.lower(): status for status in OrganisationStatus}
APPLICATION_STATUSES: Final = {status.name.lower(): status for status in ApplicationStatus}
ANSWERS: Final = {answer.name.lower(): answer for answer in Answer}

_MSISDN_DIGITS_MAX: Final = 14

_match_code = re.compile(kinds.SHORTCODE.pattern or "").fullmatch
_match_zero = re.compile(r"0{1,20}(?:\.0+)?").fullmatch
_match_host = re.compile(
    r"(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
    r"(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*"
).fullmatch


def _listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def check_environment(text: str) -> str:
    """The name of an environment."""
    if text not in ENVIRONMENTS:
        raise refuse("environment", f"environment is one of {_listed(ENVIRONMENTS)}")
    return text


def find_market(text: str, field: str = "market") -> Market:
    """The market of a path value (`vodacomTZN`) or country (`TZN`)."""
    for market in MARKETS:
        if text in {market.path_value, market.country} or text.upper() == market.country:
            return market
    raise refuse(field, f"a market is one of {_listed(MARKETS_BY_PATH_VALUE)}")


def check_name(text: str, field: str) -> str:
    """A name for people to read."""
    if not 0 < len(text) <= NAME_CHARACTERS_MAX or not text.isprintable() or text != text.strip():
        raise refuse(
            field,
            f"{_last(field)} is 1 to {NAME_CHARACTERS_MAX} printable characters, "
            "without blanks around them",
        )
    return text


def check_reference(text: str, field: str) -> str:
    """What names a funding for ever."""
    if not 0 < len(text) <= REFERENCE_CHARACTERS_MAX or not text.isprintable():
        raise refuse(
            field,
            f"{_last(field)} is 1 to {REFERENCE_CHARACTERS_MAX} printable characters, "
            "different for every funding",
        )
    return text


def check_msisdn(text: str, field: str, market: Market) -> str:
    """A customer's number as the market's operations accept it."""
    digits_min = market.msisdn_digits_min
    if not (digits_min <= len(text) <= _MSISDN_DIGITS_MAX and text.isascii() and text.isdigit()):
        raise refuse(
            field,
            f"{_last(field)} is {digits_min} to {_MSISDN_DIGITS_MAX} digits in "
            f"{market.path_value}, with the country's prefix and no plus sign",
        )
    return text


def check_code(text: str, field: str) -> str:
    """An organisation's shortcode."""
    if _match_code(text) is None:
        raise refuse(field, f"{_last(field)} is 4 to 12 letters and digits, such as SHOP27")
    return text


def check_after(text: str) -> str:
    """What the page before ended with; empty for the first page."""
    if len(text) > NAME_CHARACTERS_MAX or not (text.isprintable() and text.isascii()):
        raise refuse("after", "after is what the page before calls next")
    return text


def check_status(text: str, statuses: Collection[str]) -> str:
    """The name of a status."""
    return check_choice(text, "status", statuses)


def check_choice(text: str, field: str, choices: Collection[str]) -> str:
    """One of a few words."""
    if text not in choices:
        raise refuse(field, f"{_last(field)} is one of {_listed(choices)}")
    return text


def check_amount(text: str, field: str, market: Market) -> int:
    """Minor units of an amount above zero."""
    amount_minor = parse_amount_minor(text, market.decimals)
    if amount_minor is None:
        largest = format_amount_minor(AMOUNT_MAX_MINOR, market.decimals)
        raise refuse(
            field,
            f'{_last(field)} is decimal text such as "1050.00": above zero, at most {largest}, '
            f"at most {market.decimals} decimals",
        )
    return amount_minor


def check_balance(text: str, field: str, market: Market) -> int:
    """Minor units of a first balance, which may be zero."""
    return 0 if _match_zero(text) else check_amount(text, field, market)


def check_distinct(names: Iterable[str], field: Callable[[int], str]) -> None:
    """Raise for the first name that stands in a list for the second time."""
    seen: dict[str, int] = {}
    for position, name in enumerate(names):
        first = seen.setdefault(name, position)
        if first != position:
            raise refuse(field(position), f"this stands in the list already, at position {first}")


def _check_items(items: list[str], field: str, check: Callable[[str, str], str]) -> tuple[str, ...]:
    if len(items) > SETTING_ITEMS_MAX:
        raise refuse(field, f"{field} has at most {SETTING_ITEMS_MAX} items")
    checked = [check(item, f"{field}[{position}]") for position, item in enumerate(items)]
    return tuple(dict.fromkeys(checked))


def check_products(items: list[str], field: str = "products") -> tuple[str, ...]:
    """Names of products."""
    return _check_items(items, field, lambda item, at: check_choice(item, at, PRODUCTS))


def check_markets(items: list[str]) -> tuple[str, ...]:
    """Path values of markets, given as such or as countries."""
    return _check_items(items, "markets", lambda item, field: find_market(item, field).path_value)


def check_organisations(items: list[str]) -> tuple[str, ...]:
    """Codes of organisations; they may be added later."""
    return _check_items(items, "organisations", check_code)


def check_origins(items: list[str]) -> tuple[str, ...]:
    """Hosts in lower case, or `*`."""
    return _check_items(items, "origins", _check_origin)


def check_sources(items: list[str]) -> tuple[str, ...]:
    """Addresses and CIDR ranges in their shortest form."""
    return _check_items(items, "sources", _check_source)


def _check_origin(item: str, field: str) -> str:
    host = normalise_host(item)
    if host == "*" or _match_host(host) or parse_address(host) is not None:
        return host
    raise refuse(
        field,
        "an origin is a host without scheme, port and path, such as shop.example, or *",
    )


def _check_source(item: str, field: str) -> str:
    try:
        network = parse_network(item, strict=True)
    except ValueError:
        raise refuse(
            field,
            "a source is an address such as 203.0.113.7 or a range such as 203.0.113.0/24, "
            "whose host bits are zero",
        ) from None
    return str(network) if "/" in item else str(network.network_address)


def _last(field: str) -> str:
    """The field's own name: `balance` of `customers[3].balance`, `products` of `products[0]`."""
    return field.rpartition(".")[2].partition("[")[0]
