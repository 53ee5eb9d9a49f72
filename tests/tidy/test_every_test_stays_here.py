"""The guards that tests/conftest.py puts around every test."""

import socket
import subprocess
import sys

import psutil
import pytest

from tests import guards

# Reserved for documentation: no machine has it.
ELSEWHERE = ("192.0.2.1", 9)


def test_a_connection_to_another_machine_is_refused() -> None:
    with socket.socket() as stranger, pytest.raises(guards.ReachedOutside):
        stranger.connect(ELSEWHERE)


def test_a_datagram_to_another_machine_is_refused() -> None:
    with (
        socket.socket(type=socket.SOCK_DGRAM) as stranger,
        pytest.raises(guards.ReachedOutside),
    ):
        stranger.sendto(b"", ELSEWHERE)


def test_a_connection_on_this_machine_passes() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert client.getpeername() == server.getsockname()


def test_a_process_that_outlives_its_test_is_found_and_ended() -> None:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as waiting:
        child = psutil.Process(waiting.pid)

        assert child in guards.list_children()
        assert guards.end_leftovers([child], timeout_s=0)
        assert waiting.wait() != 0
