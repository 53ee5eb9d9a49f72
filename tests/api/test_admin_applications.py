"""Applications through the admin API of a running server, and what a change does to callers."""

from typing import Any

import pytest

from tests.api.admin_fixture import AdminCaller, make_name

REFUSED = {"output_error": "API or Session key is not authorized"}


def add_application(admin: AdminCaller, **changes: Any) -> tuple[dict[str, Any], str]:
    """A new application, and its API key."""
    made = admin.get(
        "applications",
        {"name": make_name(), "organisations": ["ORG001"], **changes},
        method="POST",
    )
    return made["application"], made["api_key"]


def change(admin: AdminCaller, application: dict[str, Any], **changes: Any) -> Any:
    return admin.get(f"applications/{application['id']}", changes, method="PATCH")


def test_an_application_of_every_default_can_call_the_sandbox_at_once(admin: AdminCaller) -> None:
    name = make_name()
    application, api_key = add_application(admin, name=name, organisations=[])

    assert application["name"] == name
    assert application["status"] == "active"
    assert application["origins"] == ["*"]
    assert application["sources"] == []
    assert application["organisations"] == []
    assert len(application["products"]) == 10
    assert len(application["markets"]) == 5
    assert application["session_life_s"] == 3_600
    assert application["activation_delay_ms"] == 0
    assert application["promoted"] == {"openapi": False, "sandbox": True}
    assert application["worlds"]["openapi"] == "openapi"
    assert application["is_hidden"] is False
    assert len(api_key) == 32
    status, answer = admin.open_session(api_key)
    assert (status, answer["output_ResponseCode"]) == (200, "INS-0")


def test_an_application_is_made_with_what_is_given(admin: AdminCaller) -> None:
    application, _ = add_application(
        admin,
        products=["c2b"],
        origins=["Shop.Example", "shop.example", "[::1]"],
        sources=["203.0.113.7", "2001:db8::/32"],
        organisations=["SHOP01", "SHOP02"],
        markets=["TZN", "vodafoneGHA"],
        session_life_s=60,
        activation_delay_ms=100,
        promoted={"openapi": True},
    )

    shown = admin.get(f"applications/{application['id']}")

    assert shown == application
    assert shown["products"] == ["c2b"]
    assert shown["origins"] == ["[::1]", "shop.example"]
    assert shown["sources"] == ["203.0.113.7", "2001:db8::/32"]
    assert shown["organisations"] == ["SHOP01", "SHOP02"]
    assert shown["markets"] == ["vodacomTZN", "vodafoneGHA"]
    assert (shown["session_life_s"], shown["activation_delay_ms"]) == (60, 100)
    assert shown["promoted"] == {"openapi": True, "sandbox": True}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "a\tb"}, "name"),
        ({"products": ["c2b", "teleport"]}, "products[1]"),
        ({"origins": ["https://shop.example"]}, "origins[0]"),
        ({"origins": ["shop.example/path"]}, "origins[0]"),
        ({"origins": ["a,b"]}, "origins[0]"),
        ({"origins": [""]}, "origins[0]"),
        ({"sources": ["203.0.113.7/24"]}, "sources[0]"),
        ({"sources": ["shop.example"]}, "sources[0]"),
        ({"organisations": ["a,b"]}, "organisations[0]"),
        ({"markets": ["Narnia"]}, "markets[0]"),
        ({"session_life_s": 59}, "session_life_s"),
        ({"session_life_s": 86_401}, "session_life_s"),
        ({"session_life_s": 10**30}, "session_life_s"),
        ({"session_life_s": "60"}, "session_life_s"),
        ({"activation_delay_ms": 30_001}, "activation_delay_ms"),
        ({"promoted": {"production": True}}, "promoted.production"),
        ({"promoted": {"openapi": "yes"}}, "promoted[...]"),
        ({"promoted": True}, "promoted"),
        ({"scopes": []}, "scopes"),
    ],
)
def test_what_an_application_cannot_have_is_refused_by_the_field(
    admin: AdminCaller, changes: dict[str, Any], field: str
) -> None:
    name = make_name()
    body = {"name": name, **changes}

    assert admin.refused("POST", "applications", body) == (400, "invalid", field)
    assert admin.get(f"applications?name={name.replace(' ', '+')}")["applications"] == []


def test_a_name_is_taken_once(admin: AdminCaller) -> None:
    application, _ = add_application(admin)

    refused = admin.refused("POST", "applications", {"name": application["name"]})

    assert refused == (409, "conflict", "name")


def test_a_world_that_is_not_there_is_named(admin: AdminCaller) -> None:
    body = {"name": make_name(), "world": "elsewhere"}

    assert admin.refused("POST", "applications", body) == (404, "not_found", "world")


def test_a_change_leaves_the_rest_as_it_is(admin: AdminCaller) -> None:
    application, _ = add_application(admin, origins=["shop.example"])

    settings = {"origins": ["other.example"], "session_life_s": 120, "activation_delay_ms": 100}
    changed = change(admin, application, **settings)

    assert changed == application | settings


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, ""), ({"status": "closed"}, "status"), ({"name": "other"}, "name")],
)
def test_a_change_that_means_nothing_is_refused(
    admin: AdminCaller, body: dict[str, Any], field: str
) -> None:
    application, _ = add_application(admin)

    refused = admin.refused("PATCH", f"applications/{application['id']}", body)

    assert refused == (400, "invalid", field)


def test_a_change_is_in_force_when_it_is_answered(admin: AdminCaller) -> None:
    application, api_key = add_application(admin)

    change(admin, application, origins=["only.example"])
    assert admin.open_session(api_key, origin="shop.example") == (
        401,
        {"output_error": "Origin not allowed"},
    )
    assert admin.open_session(api_key, origin="https://only.example:8443")[0] == 200

    change(admin, application, sources=["192.0.2.1"])
    assert admin.open_session(api_key, origin="only.example") == (
        401,
        {"output_error": "Source not allowed"},
    )


def test_a_suspended_application_cannot_call_until_it_is_resumed(admin: AdminCaller) -> None:
    application, api_key = add_application(admin)

    assert change(admin, application, status="suspended")["status"] == "suspended"
    assert admin.open_session(api_key) == (401, REFUSED)

    assert change(admin, application, status="active")["status"] == "active"
    assert admin.open_session(api_key)[0] == 200


def test_an_application_is_promoted_and_withdrawn(admin: AdminCaller) -> None:
    application, api_key = add_application(admin)
    assert admin.open_session(api_key, environment="openapi")[0] == 400

    promoted = change(admin, application, promoted={"openapi": True})
    assert promoted["promoted"] == {"openapi": True, "sandbox": True}
    assert admin.open_session(api_key, environment="openapi")[0] == 200

    change(admin, application, promoted={"openapi": False})
    assert admin.open_session(api_key, environment="openapi")[0] == 400
    assert admin.open_session(api_key)[0] == 200


def test_a_rotated_key_ends_at_once_or_after_the_overlap(admin: AdminCaller) -> None:
    application, first = add_application(admin)
    path = f"applications/{application['id']}/rotate"

    second = admin.get(path, {"overlap_s": 600}, method="POST")["api_key"]
    assert admin.open_session(first)[0] == 200
    assert admin.open_session(second)[0] == 200

    third = admin.get(path, method="POST")["api_key"]
    assert [admin.open_session(key)[0] for key in (first, second, third)] == [401, 401, 200]
    assert len({first, second, third}) == 3


@pytest.mark.parametrize("overlap_s", [-1, 30 * 86_400 + 1, "600"])
def test_an_overlap_has_bounds(admin: AdminCaller, overlap_s: object) -> None:
    application, _ = add_application(admin)

    refused = admin.refused(
        "POST", f"applications/{application['id']}/rotate", {"overlap_s": overlap_s}
    )

    assert refused == (400, "invalid", "overlap_s")


def test_an_application_that_is_not_there_is_not_found(admin: AdminCaller) -> None:
    for method, path, body in (
        ("GET", "999999", None),
        ("PATCH", "999999", {"status": "active"}),
        ("POST", "999999/rotate", None),
        ("GET", "nobody", None),
        ("GET", "9" * 40, None),
    ):
        refused = admin.refused(method, f"applications/{path}", body)
        assert refused == (404, "not_found", "id")


def test_the_list_has_pages_and_finds_by_name(admin: AdminCaller) -> None:
    made = [add_application(admin)[0] for _ in range(3)]

    first = admin.get(f"applications?limit=2&after={made[0]['id'] - 1}")
    second = admin.get(f"applications?after={first['next']}")

    assert first["applications"] == made[:2]
    assert second["applications"] == made[2:]
    assert second["next"] is None
    name = made[1]["name"].replace(" ", "%20")
    assert admin.get(f"applications?name={name}")["applications"] == [made[1]]


def test_no_list_shows_a_key(admin: AdminCaller) -> None:
    _, api_key = add_application(admin)

    _, answer = admin.call("GET", "applications?limit=1000&hidden=true")

    assert api_key not in str(answer)
    assert "api_key" not in str(answer)


def test_the_installations_own_application_is_hidden_unless_asked_for(admin: AdminCaller) -> None:
    plain = admin.get("applications?limit=1000")["applications"]
    shown = admin.get("applications?limit=1000&hidden=true")["applications"]

    (hidden,) = [each for each in shown if each["is_hidden"]]
    assert hidden not in plain
    path = f"applications/{hidden['id']}"
    assert admin.refused("PATCH", path, {"status": "suspended"})[0] == 404
    assert admin.get(f"{path}?hidden=true") == hidden


def test_a_key_is_never_logged(admin: AdminCaller) -> None:
    application, api_key = add_application(admin)
    rotated = admin.get(f"applications/{application['id']}/rotate", method="POST")["api_key"]
    admin.refused("PATCH", f"applications/{application['id']}", {"api_key": rotated})

    log = admin.server.read_log()

    assert "admin_call" in log
    assert api_key not in log
    assert rotated not in log
    assert admin.token not in log
