"""Organisations through the admin API of a running server."""

from typing import Any

import pytest

from pesalango_server.catalog.model import Product
from tests.api.admin_fixture import MARKET, AdminCaller, make_code, make_name

ALL_PRODUCTS = sorted(product.value for product in Product)


def add_organisation(admin: AdminCaller, **changes: Any) -> str:
    """A new organisation's code."""
    code = make_code()
    added = admin.post("organisations", **{"code": code, "name": "Corner Shop", **changes})
    assert added == {"added": 1, "present": 0}
    return code


def test_an_organisation_has_every_product_unless_some_are_named(admin: AdminCaller) -> None:
    assert admin.read_organisation(add_organisation(admin))["products"] == ALL_PRODUCTS

    chosen = admin.read_organisation(add_organisation(admin, products=["c2b", "b2b"]))
    assert chosen["products"] == ["b2b", "c2b"]

    assert admin.read_organisation(add_organisation(admin, products=[]))["products"] == []


def test_an_organisation_is_added_with_its_money(admin: AdminCaller) -> None:
    code = add_organisation(admin, name="Café Ngoma", balance="1000.5")

    assert admin.read_organisation(code) == {
        "code": code,
        "name": "Café Ngoma",
        "status": "active",
        "products": ALL_PRODUCTS,
        "balance": "1000.50",
    }


def test_the_list_has_the_seeded_organisations_with_their_balance(admin: AdminCaller) -> None:
    listed = admin.get("organisations?environment=sandbox&market=vodafoneGHA")["organisations"]

    balances = {each["code"]: each["balance"] for each in listed}
    assert [code for code in balances if code.isdigit()] == ["000000", "000001", "112244"]
    assert balances["ORG001"] == "1000000.00"


def test_a_list_is_added_and_what_is_there_stays_as_it_is(admin: AdminCaller) -> None:
    first = add_organisation(admin, balance="1")
    listed = [{"code": code, "name": "Shop"} for code in (first, make_code(), make_code())]

    assert admin.post("organisations", organisations=listed) == {"added": 2, "present": 1}
    assert admin.read_organisation(first)["name"] == "Corner Shop"

    page = admin.get(f"organisations?market={MARKET}&after={first}&limit=2")
    assert [each["code"] for each in page["organisations"]] == [each["code"] for each in listed[1:]]
    assert page["next"] == listed[2]["code"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"code": "abc"}, "organisations[1].code"),
        ({"code": "A" * 13}, "organisations[1].code"),
        ({"code": "SHOP-1"}, "organisations[1].code"),
        ({"name": " Shop"}, "organisations[1].name"),
        ({"products": ["c2b", "teleport"]}, "organisations[1].products[1]"),
        ({"products": "c2b"}, "organisations[1].products"),
        ({"balance": ""}, "organisations[1].balance"),
    ],
)
def test_one_fault_in_a_list_refuses_all_of_it(
    admin: AdminCaller, changes: dict[str, Any], field: str
) -> None:
    listed: list[dict[str, Any]] = [{"code": make_code(), "name": "Shop"} for _ in range(2)]
    listed[1] |= changes

    refused = admin.refused("POST", "organisations", {"market": MARKET, "organisations": listed})

    assert refused == (400, "invalid", field)
    assert admin.refused("GET", f"organisations/{listed[0]['code']}?market={MARKET}")[0] == 404


def test_products_and_status_change_each_by_itself(admin: AdminCaller) -> None:
    code = add_organisation(admin, products=["c2b"])
    path = f"organisations/{code}?market={MARKET}"

    suspended = admin.get(path, {"status": "suspended"}, method="PATCH")
    assert (suspended["status"], suspended["products"]) == ("suspended", ["c2b"])

    changed = admin.get(path, {"products": ["b2c"]}, method="PATCH")
    assert (changed["status"], changed["products"]) == ("suspended", ["b2c"])

    resumed = admin.get(path, {"status": "active", "products": []}, method="PATCH")
    assert (resumed["status"], resumed["products"]) == ("active", [])
    assert admin.read_organisation(code) == resumed


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, ""),
        ({"status": "closed"}, "status"),
        ({"products": ["teleport"]}, "products[0]"),
        ({"name": "Other"}, "name"),
    ],
)
def test_a_change_that_means_nothing_is_refused(
    admin: AdminCaller, body: dict[str, Any], field: str
) -> None:
    code = add_organisation(admin)

    refused = admin.refused("PATCH", f"organisations/{code}?market={MARKET}", body)

    assert refused == (400, "invalid", field)


def test_a_code_that_nobody_has_is_not_found(admin: AdminCaller) -> None:
    for method, path, body in (
        ("GET", "NOBODY", None),
        ("PATCH", "NOBODY", {"status": "active"}),
        ("POST", "NOBODY/fund", {"amount": "1", "reference": make_name()}),
    ):
        refused = admin.refused(method, f"organisations/{path}?market={MARKET}", body)
        assert refused == (404, "not_found", "code")


def test_a_reference_funds_once_and_is_not_a_customers(admin: AdminCaller) -> None:
    code, reference = add_organisation(admin), make_name()
    admin.post("customers/255744553111/fund", amount="5", reference=reference)

    first = admin.post(f"organisations/{code}/fund", amount="5", reference=reference)
    second = admin.post(f"organisations/{code}/fund", amount="5", reference=reference)

    assert (first["organisation"]["balance"], first["is_repeated"]) == ("5.00", False)
    assert (second["organisation"]["balance"], second["is_repeated"]) == ("5.00", True)

    body = {"market": MARKET, "amount": "6", "reference": reference}
    assert admin.refused("POST", f"organisations/{code}/fund", body) == (
        409,
        "conflict",
        "reference",
    )
