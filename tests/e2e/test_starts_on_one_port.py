"""Of two servers that are told one port, whoever started the second is not taken in by the first."""

from collections.abc import Iterator
from pathlib import Path

import pytest

import bench.server
from tests.e2e.samples import PortTaken, Sample, leave_running, make_sample_environment
from tests.e2e.server import Server, ServerEnded

SETTINGS = {"PESALANGO_PLATFORM_KEY_BITS": "2048", "PESALANGO_WORKERS": "0"}


@pytest.fixture(scope="module")
def neighbour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """That of another test, ready."""
    with Server(tmp_path_factory.mktemp("neighbour") / "var", settings=SETTINGS) as server:
        server.start()
        yield server


def test_a_server_of_a_test(neighbour: Server, tmp_path: Path) -> None:
    with Server(tmp_path / "var", settings=SETTINGS) as server:
        server.launch(neighbour.port)
        with pytest.raises(ServerEnded, match="cannot listen"):
            server.wait_until_ready()
        assert not server.is_ready()
    assert neighbour.is_ready()


def test_a_sample_of_a_page(neighbour: Server, tmp_path: Path) -> None:
    sample = Sample(
        page="a page",
        kind="stays",
        name="a start",
        language="sh",
        text=f"pesalango-server up --data-dir var --port {neighbour.port}",
        prints="",
    )
    running = leave_running(
        sample, tmp_path, port=neighbour.port, environment=make_sample_environment(SETTINGS)
    )
    with pytest.raises(PortTaken), running:
        pytest.fail("it is said to run")


def test_a_server_of_a_benchmark(
    neighbour: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench.server, "find_free_port", lambda: neighbour.port)
    with (
        bench.server.run_server(data_dir=tmp_path / "var", database=None) as server,
        pytest.raises(bench.server.ProductError, match="ended: status 1"),
    ):
        server.wait_until_ready()
