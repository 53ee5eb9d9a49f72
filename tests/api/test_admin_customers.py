"""Customers through the admin API of a running server."""

from decimal import Decimal
from typing import Any

import pytest

from tests.api.admin_fixture import MARKET, AdminCaller, make_msisdn, make_name

SEEDED = "255744553111"


def make_customer(msisdn: str, **changes: Any) -> dict[str, Any]:
    return {"msisdn": msisdn, "first_name": "Asha", "last_name": "Mosi", **changes}


def add_customer(admin: AdminCaller, **changes: Any) -> str:
    """A new customer's number."""
    msisdn = make_msisdn()
    assert admin.post("customers", **make_customer(msisdn, **changes)) == {"added": 1, "present": 0}
    return msisdn


# --- adding and listing --------------------------------------------------------------------------


def test_a_customer_is_added_with_status_and_money(admin: AdminCaller) -> None:
    msisdn = add_customer(admin, status="locked", balance="12.5")

    assert admin.read_customer(msisdn) == {
        "msisdn": msisdn,
        "first_name": "Asha",
        "last_name": "Mosi",
        "status": "locked",
        "balance": "12.50",
        "script": None,
    }


def test_a_customer_of_every_default_is_active_and_has_nothing(admin: AdminCaller) -> None:
    customer = admin.read_customer(add_customer(admin))

    assert (customer["status"], customer["balance"]) == ("active", "0.00")


def test_a_number_that_is_there_stays_as_it_is(admin: AdminCaller) -> None:
    msisdn = add_customer(admin, balance="5")

    status, answer = admin.call(
        "POST", "customers", {"market": MARKET, **make_customer(msisdn, balance="7")}
    )

    assert (status, answer) == (200, {"added": 0, "present": 1})
    assert admin.read_customer(msisdn)["balance"] == "5.00"


def test_a_list_of_ten_thousand_is_added_and_may_be_sent_again(admin: AdminCaller) -> None:
    listed = [make_customer(f"25576{number:07d}", balance="1.00") for number in range(10_000)]

    assert admin.post("customers", customers=listed) == {"added": 10_000, "present": 0}
    assert admin.post("customers", customers=listed) == {"added": 0, "present": 10_000}

    found: list[str] = []
    page: dict[str, Any] = {"next": "25575"}
    while (page["next"] or "9") < "25577":
        page = admin.get(f"customers?market={MARKET}&limit=1000&after={page['next']}")
        found += [each["msisdn"] for each in page["customers"]]
    assert [msisdn for msisdn in found if msisdn.startswith("25576")] == [
        each["msisdn"] for each in listed
    ]


def test_a_list_is_longer_than_one_call_takes(admin: AdminCaller) -> None:
    listed = [make_customer(f"25577{number:07d}") for number in range(10_001)]

    assert admin.refused("POST", "customers", {"market": MARKET, "customers": listed}) == (
        400,
        "invalid",
        "customers",
    )


@pytest.mark.parametrize(
    ("position", "changes", "field"),
    [
        (1, {"msisdn": "+255700000000"}, "customers[1].msisdn"),
        (0, {"msisdn": "25570000000"}, "customers[0].msisdn"),
        (1, {"msisdn": "２５５７０００００００１"}, "customers[1].msisdn"),
        (1, {"first_name": ""}, "customers[1].first_name"),
        (1, {"last_name": "a\u0000b"}, "customers[1].last_name"),
        (1, {"last_name": "x" * 101}, "customers[1].last_name"),
        (1, {"status": "asleep"}, "customers[1].status"),
        (1, {"balance": "-1"}, "customers[1].balance"),
        (1, {"balance": "1.001"}, "customers[1].balance"),
        (1, {"balance": 1}, "customers[1].balance"),
        (1, {"nickname": "Ash"}, "customers[1].nickname"),
    ],
)
def test_one_fault_in_a_list_refuses_all_of_it_and_is_named(
    admin: AdminCaller, position: int, changes: dict[str, Any], field: str
) -> None:
    listed = [make_customer(make_msisdn()) for _ in range(3)]
    listed[position] |= changes

    refused = admin.refused("POST", "customers", {"market": MARKET, "customers": listed})

    assert refused == (400, "invalid", field)
    assert admin.refused("GET", f"customers/{listed[2]['msisdn']}?market={MARKET}")[0] == 404


def test_a_number_twice_in_one_list_is_refused(admin: AdminCaller) -> None:
    msisdn = make_msisdn()
    listed = [make_customer(msisdn), make_customer(make_msisdn()), make_customer(msisdn)]

    refused = admin.refused("POST", "customers", {"market": MARKET, "customers": listed})

    assert refused == (400, "invalid", "customers[2].msisdn")


def test_a_single_customer_without_a_name_is_refused_by_the_field(admin: AdminCaller) -> None:
    body = {"market": MARKET, "msisdn": make_msisdn(), "last_name": "Mosi"}

    assert admin.refused("POST", "customers", body) == (400, "invalid", "first_name")


def test_pages_follow_each_other_without_gap_or_repetition(admin: AdminCaller) -> None:
    numbers = sorted(add_customer(admin) for _ in range(5))

    first = admin.get(f"customers?market={MARKET}&limit=2&after={int(numbers[0]) - 1}")
    second = admin.get(f"customers?market={MARKET}&limit=3&after={first['next']}")

    found = [each["msisdn"] for page in (first, second) for each in page["customers"]]
    assert found == numbers


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=many", "limit"),
        ("after=%00", "after"),
        ("color=red", "color"),
        ("limit=1&limit=2", "limit"),
    ],
)
def test_a_query_that_means_nothing_is_refused(admin: AdminCaller, query: str, field: str) -> None:
    assert admin.refused("GET", f"customers?market={MARKET}&{query}") == (400, "invalid", field)


# --- which ledger --------------------------------------------------------------------------------


def test_a_market_is_named_by_path_value_or_country(admin: AdminCaller) -> None:
    msisdn = add_customer(admin)

    for market in ("vodacomTZN", "TZN", "tzn"):
        assert admin.read_customer(msisdn, market)["msisdn"] == msisdn
    assert admin.refused("GET", f"customers/{msisdn}?market=GHA")[0] == 404


def test_every_environment_has_customers_of_its_own(admin: AdminCaller) -> None:
    msisdn = make_msisdn()

    admin.post("customers", environment="openapi", **make_customer(msisdn))

    assert admin.refused("GET", f"customers/{msisdn}?market={MARKET}")[0] == 404
    place = f"market={MARKET}&environment=openapi&world=openapi"
    assert admin.get(f"customers/{msisdn}?{place}")["msisdn"] == msisdn


def test_a_ledger_that_nobody_used_yet_is_opened_with_its_seed(admin: AdminCaller) -> None:
    listed = admin.get("customers?market=vodacomMOZ&environment=openapi")["customers"]

    assert SEEDED in [each["msisdn"] for each in listed]
    assert {each["balance"] for each in listed} == {"100000.00"}


def test_lesotho_takes_numbers_of_eleven_digits(admin: AdminCaller) -> None:
    body = {"market": "LES", **make_customer("26650001234")}

    assert admin.call("POST", "customers", body)[0] in (200, 201)


@pytest.mark.parametrize(
    ("place", "refused"),
    [
        ("", (400, "invalid", "market")),
        ("market=Narnia", (400, "invalid", "market")),
        ("market=TZN&environment=production", (400, "invalid", "environment")),
        ("market=TZN&world=elsewhere", (404, "not_found", "world")),
    ],
)
def test_a_ledger_that_cannot_be_found_is_refused_by_the_field(
    admin: AdminCaller, place: str, refused: tuple[int, str, str]
) -> None:
    assert admin.refused("GET", f"customers?{place}") == refused


def test_body_and_query_cannot_mean_two_ledgers(admin: AdminCaller) -> None:
    customer = make_customer(make_msisdn())

    assert admin.refused("POST", "customers?market=GHA", {"market": "TZN", **customer}) == (
        400,
        "invalid",
        "market",
    )
    assert admin.call("POST", "customers?market=TZN", customer)[0] == 201


# --- status and script ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["pending_approval", "locked", "inactive", "active"])
def test_a_status_is_changed_and_shown(admin: AdminCaller, status: str) -> None:
    msisdn = add_customer(admin)

    changed = admin.post(f"customers/{msisdn}/status", status=status)

    assert changed["status"] == status
    assert admin.read_customer(msisdn) == changed


def test_an_unknown_status_names_those_there_are(admin: AdminCaller) -> None:
    msisdn = add_customer(admin)

    status, answer = admin.call(
        "POST", f"customers/{msisdn}/status", {"market": MARKET, "status": "asleep"}
    )

    assert status == 400
    assert "active, pending_approval, locked, inactive" in answer["error"]["message"]


@pytest.mark.parametrize("answer", ["approve", "decline", "wrong_pin", "never"])
def test_a_script_is_set_and_taken_away(admin: AdminCaller, answer: str) -> None:
    msisdn = add_customer(admin)

    scripted = admin.post(f"customers/{msisdn}/script", answer=answer, delay_ms=250)
    assert scripted["script"] == {"answer": answer, "delay_ms": 250}

    assert admin.post(f"customers/{msisdn}/script", answer="none")["script"] is None
    assert admin.read_customer(msisdn)["script"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"answer": "maybe"}, "answer"),
        ({"answer": "approve", "delay_ms": -1}, "delay_ms"),
        ({"answer": "approve", "delay_ms": 3_600_001}, "delay_ms"),
        ({"delay_ms": 1}, "answer"),
    ],
)
def test_a_script_that_means_nothing_is_refused(
    admin: AdminCaller, body: dict[str, Any], field: str
) -> None:
    msisdn = add_customer(admin)

    refused = admin.refused("POST", f"customers/{msisdn}/script", {"market": MARKET, **body})

    assert refused == (400, "invalid", field)


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("status", {"status": "active"}),
        ("script", {"answer": "approve"}),
        ("fund", {"amount": "1", "reference": "unknown"}),
    ],
)
def test_a_number_that_nobody_has_is_not_found(
    admin: AdminCaller, action: str, body: dict[str, str]
) -> None:
    path = f"customers/255799999999/{action}"

    assert admin.refused("POST", path, {"market": MARKET, **body}) == (404, "not_found", "msisdn")


def test_what_is_no_number_is_refused(admin: AdminCaller) -> None:
    assert admin.refused("GET", f"customers/%00?market={MARKET}") == (400, "invalid", "msisdn")


# --- funding -------------------------------------------------------------------------------------


def test_a_reference_funds_once_however_often_it_is_sent(admin: AdminCaller) -> None:
    msisdn, reference = add_customer(admin, balance="1"), make_name()

    first = admin.post(f"customers/{msisdn}/fund", amount="10.25", reference=reference)
    second = admin.post(f"customers/{msisdn}/fund", amount="10.25", reference=reference)

    assert (first["customer"]["balance"], first["is_repeated"]) == ("11.25", False)
    assert (second["customer"]["balance"], second["is_repeated"]) == ("11.25", True)
    assert admin.read_customer(msisdn)["balance"] == "11.25"


def test_a_reference_of_another_wallet_or_amount_is_a_conflict(admin: AdminCaller) -> None:
    msisdn, other, reference = add_customer(admin), add_customer(admin), make_name()
    admin.post(f"customers/{msisdn}/fund", amount="10", reference=reference)

    for target, amount in ((msisdn, "11"), (other, "10")):
        body = {"market": MARKET, "amount": amount, "reference": reference}
        assert admin.refused("POST", f"customers/{target}/fund", body) == (
            409,
            "conflict",
            "reference",
        )
    assert admin.read_customer(msisdn)["balance"] == "10.00"
    assert admin.read_customer(other)["balance"] == "0.00"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": "0"}, "amount"),
        ({"amount": "-1"}, "amount"),
        ({"amount": "1e3"}, "amount"),
        ({"amount": "1.001"}, "amount"),
        ({"amount": "1000000000000"}, "amount"),
        ({"amount": 5}, "amount"),
        ({"reference": ""}, "reference"),
        ({"reference": "a\nb"}, "reference"),
        ({"reference": "x" * 101}, "reference"),
        ({"reference": None}, "reference"),
    ],
)
def test_a_funding_that_cannot_be_is_refused(
    admin: AdminCaller, changes: dict[str, Any], field: str
) -> None:
    msisdn = add_customer(admin)
    body = {"market": MARKET, "amount": "1", "reference": make_name(), **changes}

    assert admin.refused("POST", f"customers/{msisdn}/fund", body) == (400, "invalid", field)
    assert admin.read_customer(msisdn)["balance"] == "0.00"


def make_fundings(admin: AdminCaller, number: int) -> list[dict[str, str]]:
    """A funding of 2.50 for each of so many new customers."""
    listed = [make_customer(make_msisdn()) for _ in range(number)]
    admin.post("customers", customers=listed)
    return [
        {"msisdn": each["msisdn"], "amount": "2.50", "reference": make_name()} for each in listed
    ]


def test_a_list_of_fundings_may_be_sent_again(admin: AdminCaller) -> None:
    fundings = make_fundings(admin, 1_200)

    assert admin.post("customers/fund", fundings=fundings) == {"funded": 1_200, "repeated": 0}
    assert admin.post("customers/fund", fundings=fundings) == {"funded": 0, "repeated": 1_200}

    for funding in (fundings[0], fundings[-1]):
        assert admin.read_customer(funding["msisdn"])["balance"] == "2.50"


def test_one_wallet_may_stand_in_a_list_twice_under_two_references(admin: AdminCaller) -> None:
    (funding,) = make_fundings(admin, 1)

    admin.post("customers/fund", fundings=[funding, {**funding, "reference": make_name()}])

    assert admin.read_customer(funding["msisdn"])["balance"] == "5.00"


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({"msisdn": "255799999999"}, (404, "not_found", "fundings[1].msisdn")),
        ({"amount": "0"}, (400, "invalid", "fundings[1].amount")),
        ({"reference": ""}, (400, "invalid", "fundings[1].reference")),
    ],
)
def test_one_fault_in_a_list_of_fundings_refuses_all_of_it(
    admin: AdminCaller, changes: dict[str, str], refused: tuple[int, str, str]
) -> None:
    fundings = make_fundings(admin, 3)
    fundings[1] |= changes

    body = {"market": MARKET, "fundings": fundings}

    assert admin.refused("POST", "customers/fund", body) == refused
    assert admin.read_customer(fundings[0]["msisdn"])["balance"] == "0.00"


def test_a_used_reference_late_in_a_list_refuses_all_of_it(admin: AdminCaller) -> None:
    fundings = make_fundings(admin, 600)
    admin.post("customers/fund", fundings=[fundings[-1]])
    changed = [*fundings[:-1], {**fundings[-1], "amount": "3"}]

    body = {"market": MARKET, "fundings": changed}

    assert admin.refused("POST", "customers/fund", body) == (
        409,
        "conflict",
        "fundings[599].reference",
    )
    assert admin.read_customer(fundings[0]["msisdn"])["balance"] == "0.00"


def test_one_reference_twice_in_a_list_is_refused(admin: AdminCaller) -> None:
    fundings = make_fundings(admin, 2)
    fundings[1]["reference"] = fundings[0]["reference"]

    body = {"market": MARKET, "fundings": fundings}

    assert admin.refused("POST", "customers/fund", body) == (
        400,
        "invalid",
        "fundings[1].reference",
    )


def test_a_wallet_holds_only_so_much(admin: AdminCaller) -> None:
    (funding,) = make_fundings(admin, 1)
    most = {**funding, "amount": "999999999999.99"}

    listed = [{**most, "reference": make_name()} for _ in range(1_000)]
    admin.post("customers/fund", fundings=listed)

    body = {"market": MARKET, "amount": most["amount"], "reference": make_name()}

    assert admin.refused("POST", f"customers/{funding['msisdn']}/fund", body) == (
        400,
        "invalid",
        "amount",
    )
    balance = Decimal(admin.read_customer(funding["msisdn"])["balance"])
    assert balance == 1_000 * Decimal("999999999999.99")
