"""The engine's end of a link, over a real pair of sockets."""

import errno
import socket
from typing import Any

from pesalango_server.link.channel import Channel
from pesalango_server.link.frames import encode_frame

LAST_WORDS = [(1, "last"), (2, "words")]


class FailingSocket:
    """A socket that can send nothing, as where the system has no memory left."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    def send(self, _data: bytes) -> int:
        raise OSError(errno.ENOBUFS, "no buffer space available")


def test_what_a_worker_sent_before_it_died_is_received_though_it_hears_nothing() -> None:
    worker, ours = socket.socketpair()
    channel = Channel(ours, str)
    worker.sendall(encode_frame(LAST_WORDS))
    worker.close()

    channel.send_heartbeat(can_commit=True, waiting=0)
    channel.send_heartbeat(can_commit=True, waiting=0)

    assert list(channel.receive()) == LAST_WORDS
    assert channel.is_open
    assert list(channel.receive()) == []
    assert not channel.is_open


def test_a_worker_that_lives_learns_that_nothing_comes_any_more() -> None:
    worker, ours = socket.socketpair()
    with worker:
        channel = Channel(FailingSocket(ours), str)  # type: ignore[arg-type]
        worker.sendall(encode_frame(LAST_WORDS))
        channel.send_heartbeat(can_commit=True, waiting=0)

        assert worker.recv(1) == b""
        assert list(channel.receive()) == LAST_WORDS
        channel.close()
