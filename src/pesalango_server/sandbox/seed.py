"""Who lives in a new world: the parties that the documentation's samples speak of."""

from pesalango_server.catalog.model import Product
from pesalango_server.ledger.parties import NewCustomer, NewOrganisation

ORGANISATION_MINOR = 1_000_000_00
CUSTOMER_MINOR = 100_000_00

ALL_PRODUCTS = tuple(sorted(product.value for product in Product))

_ORGANISATIONS = (
    ("000000", "Test Organisation"),
    ("000001", "Second Test Organisation"),
    ("ORG001", "First Shop"),
    ("ORG002", "Second Shop"),
    ("112244", "Mandate Shop"),
)

_CUSTOMERS = (
    ("000000000001", "Test", "Customer"),
    ("254707161122", "Jiazhen", "Wuu"),
    ("255744553111", "Neema", "Mushi"),
    ("233508729395", "Kofi", "Mensah"),
)

ORGANISATION_CODES = tuple(code for code, _ in _ORGANISATIONS)
SELF_CHECK_CUSTOMER = "000000000001"
SELF_CHECK_ORGANISATION = "000000"


class Seed:
    """Hands out the first parties of ledgers; `seeds_openapi` makes `openapi` a demonstration."""

    def __init__(self, *, seeds_openapi: bool) -> None:
        self._environments = ("sandbox", "openapi") if seeds_openapi else ("sandbox",)

    def seed_for(
        self,
        environment: str,
        market: str,  # noqa: ARG002 - all markets start alike
    ) -> tuple[tuple[NewCustomer, ...], tuple[NewOrganisation, ...]]:
        """Customers and organisations that a new ledger of `market` starts with."""
        if environment not in self._environments:
            return (), ()
        products = ",".join(ALL_PRODUCTS)
        return (
            tuple(
                NewCustomer(msisdn, first_name, last_name, amount_minor=CUSTOMER_MINOR)
                for msisdn, first_name, last_name in _CUSTOMERS
            ),
            tuple(
                NewOrganisation(code, name, products, amount_minor=ORGANISATION_MINOR)
                for code, name in _ORGANISATIONS
            ),
        )
