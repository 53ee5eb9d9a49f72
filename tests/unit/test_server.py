"""What the engine process decides about its workers."""

from pesalango_server.main.server import RESTARTS_MAX, find_restart_pause_ms


def test_pauses_between_restarts_grow() -> None:
    pauses_ms = [find_restart_pause_ms(restarts) for restarts in range(1, RESTARTS_MAX)]
    assert pauses_ms == [100, 200, 400, 800]
