"""What the engine process decides about its sockets and its workers."""

import contextlib

import pytest

from pesalango_server.main.failures import ServerFailed
from pesalango_server.main.server import RESTARTS_MAX, Listener, find_restart_pause_ms
from pesalango_server.settings import ListenAddress


def make_listener(port: int) -> Listener:
    return Listener(ListenAddress("127.0.0.1", port, is_tls=False), gateway=True, admin=True)


def listen_after(first: Listener) -> None:
    """On the port of `first`, which was bound before and listens before."""
    second = make_listener(first.port)
    with contextlib.closing(second.socket):
        first.listen()
        second.listen()


def test_of_two_that_are_given_one_port_the_slower_is_told_so() -> None:
    first = make_listener(0)
    sentence = f"cannot listen on 127.0.0.1 port {first.port}: .*in use"
    with contextlib.closing(first.socket), pytest.raises(ServerFailed, match=sentence):
        listen_after(first)


def test_pauses_between_restarts_grow() -> None:
    pauses_ms = [find_restart_pause_ms(restarts) for restarts in range(1, RESTARTS_MAX)]
    assert pauses_ms == [100, 200, 400, 800]
