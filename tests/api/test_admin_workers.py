"""A change is in force at every worker within a second, at the one that was asked at once."""

from collections.abc import Iterator

import pytest

from pesalango_server.main.worker import REFRESH_MS
from tests.api.admin_fixture import AdminCaller
from tests.e2e.server import IN_FORCE_S, Server, wait_until

CALLS = 20
"""Each on a connection of its own, so that both workers get some."""


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AdminCaller]:
    """A server with two workers on one port."""
    data_dir = tmp_path_factory.mktemp("workers") / "var"
    settings = {"PESALANGO_PLATFORM_KEY_BITS": "2048", "PESALANGO_WORKERS": "2"}
    with Server(data_dir, settings=settings) as server:
        server.start()
        assert len(server.find_workers()) == 2
        yield AdminCaller(server)


def ask_often(admin: AdminCaller, api_key: str) -> set[int]:
    """The different statuses that `getSession` answers."""
    return {admin.open_session(api_key)[0] for _ in range(CALLS)}


def test_a_worker_looks_for_changes_often_enough_for_a_second() -> None:
    """The tests below allow for a machine that does other things besides."""
    assert REFRESH_MS == 500


def test_a_new_application_can_call_every_worker_at_once(two_workers: AdminCaller) -> None:
    made = two_workers.get("applications", {"name": "at once"}, method="POST")

    assert ask_often(two_workers, made["api_key"]) == {200}


def test_a_suspension_reaches_every_worker_within_a_second(two_workers: AdminCaller) -> None:
    made = two_workers.get("applications", {"name": "suspended"}, method="POST")
    path = f"applications/{made['application']['id']}"
    assert ask_often(two_workers, made["api_key"]) == {200}

    two_workers.get(path, {"status": "suspended"}, method="PATCH")

    wait_until(
        lambda: ask_often(two_workers, made["api_key"]) == {401},
        timeout_s=IN_FORCE_S,
        what="the suspension at both workers",
    )


def test_a_new_token_administrates_at_every_worker_at_once(two_workers: AdminCaller) -> None:
    token = two_workers.get("tokens", {"name": "everywhere"}, method="POST")["token"]
    headers = {"Authorization": f"Bearer {token}"}

    answers = [two_workers.send("GET", "/admin/v1/worlds", headers=headers) for _ in range(CALLS)]

    assert {answer.status for answer in answers} == {200}
