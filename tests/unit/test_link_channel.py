"""The engine's end of a link, over a real pair of sockets."""

import socket

from pesalango_server.link.channel import Channel
from pesalango_server.link.frames import encode_frame


def test_what_a_worker_sent_before_it_died_is_received_though_it_hears_nothing() -> None:
    worker, ours = socket.socketpair()
    channel = Channel(ours, str)
    worker.sendall(encode_frame([(1, "last"), (2, "words")]))
    worker.close()

    channel.send_heartbeat(can_commit=True, waiting=0)
    channel.send_heartbeat(can_commit=True, waiting=0)

    assert list(channel.receive()) == [(1, "last"), (2, "words")]
    assert channel.is_open
    assert list(channel.receive()) == []
    assert not channel.is_open
