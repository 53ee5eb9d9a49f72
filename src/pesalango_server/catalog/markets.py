"""The five markets."""

from typing import Final

from pesalango_server.catalog.model import Market

GHANA: Final = Market(
    path_value="vodafoneGHA",
    country="GHA",
    currency="GHS",
    time_zone="Africa/Accra",
    description="Vodafone Ghana",
)
TANZANIA: Final = Market(
    path_value="vodacomTZN",
    country="TZN",
    currency="TZS",
    time_zone="Africa/Dar_es_Salaam",
    description="Vodacom Tanzania",
)
# Numbers of Lesotho have eleven digits (266 and eight more), one fewer than the documentation's
# pattern admits. Twelve to fourteen stay accepted: its samples use other countries' numbers.
LESOTHO: Final = Market(
    path_value="vodacomLES",
    country="LES",
    currency="LSL",
    time_zone="Africa/Maseru",
    description="Vodacom Lesotho",
    msisdn_digits_min=11,
)
CONGO: Final = Market(
    path_value="vodacomDRC",
    country="DRC",
    currency="USD",
    time_zone="Africa/Kinshasa",
    description="Vodacom DR Congo",
)
MOZAMBIQUE: Final = Market(
    path_value="vodacomMOZ",
    country="MOZ",
    currency="MZN",
    time_zone="Africa/Maputo",
    description="Vodacom Mozambique",
)

MARKETS: Final = (GHANA, TANZANIA, LESOTHO, CONGO, MOZAMBIQUE)
MARKETS_BY_PATH_VALUE: Final = {market.path_value: market for market in MARKETS}
