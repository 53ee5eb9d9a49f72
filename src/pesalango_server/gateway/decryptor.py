"""Which bearers are decrypted, and in which order, when more come than can be."""

import asyncio
from collections.abc import Callable
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pesalango_server.gateway.decryption_threads import Decryption, DecryptionThreads
from pesalango_server.gateway.fair_queue import FairQueue
from pesalango_server.gateway.throttle import FailureThrottle, find_network
from pesalango_server.http.addresses import Address, Network
from pesalango_server.http.bodies import CallerGone
from pesalango_server.telemetry import Counter

_STARTED_PER_THREAD: Final = 6
"""More than is decrypted, so that no thread waits for the event loop."""

_DOUBTFUL_ROOM_SHARE: Final = 8
_REST_PER_WORK: Final = 9


class DecryptionsBusy(Exception):
    """Too many bearers wait to be decrypted."""


class TooManyFailures(Exception):
    """Where the bearer comes from, too many others failed; `seconds` until one is looked at."""

    def __init__(self, seconds: int) -> None:
        super().__init__("too many failed authentications")
        self.seconds = seconds


class _Job(Decryption):
    """Of one address, which is doubtful or not at the moment of its turn."""

    __slots__ = ("address", "is_doubtful", "is_gone")

    def __init__(
        self,
        key: RSAPrivateKey,
        ciphertext: bytes,
        future: asyncio.Future[str],
        address: Address | None,
        is_gone: Callable[[], bool],
    ) -> None:
        super().__init__(key, ciphertext, future)
        self.address = address
        self.is_gone = is_gone
        self.is_doubtful = False


class Decryptor:
    """Two bounded queues before a few threads. Everything else happens on the event loop.

    Networks take turns. The ciphertexts of doubtful ones (see `FailureThrottle`) stand in a queue
    of their own, which gets a tenth of one thread's time, and no more where nobody else waits: one
    is decrypted at a time, then that queue rests nine times as long as a processor was at it. What
    waits of a network that has failed too often meanwhile is refused undecrypted, and nobody
    decrypts for a caller who has gone away.
    """

    def __init__(
        self, *, throttle: FailureThrottle, threads: int, waiting_max: int, decryptions: Counter
    ) -> None:
        self._throttle = throttle
        self._threads: DecryptionThreads[_Job] = DecryptionThreads(threads, ended=self._end)
        self._running = 0
        self._running_max = threads * _STARTED_PER_THREAD
        self._ordinary: FairQueue[Network | None, _Job] = FairQueue(waiting_max)
        self._doubtful: FairQueue[Network | None, _Job] = FairQueue(
            max(1, waiting_max // _DOUBTFUL_ROOM_SHARE)
        )
        self._is_doubtful_resting = False
        self._decryptions = decryptions

    async def decrypt(
        self,
        key: RSAPrivateKey,
        ciphertext: bytes,
        address: Address | None,
        is_gone: Callable[[], bool],
    ) -> str:
        """The secret, as a text of one character for each byte; noise for wrong padding.

        Raises `DecryptionsBusy` and `TooManyFailures`, and `CallerGone` where `is_gone` says so when
        its turn comes.
        """
        self.check_room(address)
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        job = _Job(key, ciphertext, future, address, is_gone)
        self._find_queue(address).add(find_network(address), job)
        self._start_waiting()
        return await future

    def check_room(self, address: Address | None) -> None:
        """Raise `DecryptionsBusy` where one more from there would find no place."""
        if not self._find_queue(address).has_room(find_network(address)):
            raise DecryptionsBusy

    def refuse_waiting(self) -> None:
        """Turn away all that waits, as where there is no place: the server stops."""
        for queue in (self._ordinary, self._doubtful):
            while queue:
                _refuse(queue.pop()[1], DecryptionsBusy())

    def close(self) -> None:
        """`refuse_waiting`, and let the rest end."""
        self.refuse_waiting()
        self._threads.close()

    def _find_queue(self, address: Address | None) -> FairQueue[Network | None, _Job]:
        return self._doubtful if self._throttle.is_doubtful(address) else self._ordinary

    def _start_waiting(self) -> None:
        while self._running < self._running_max:
            job = self._draw()
            if job is None:
                return
            self._running += 1
            self._threads.start(job)

    def _draw(self) -> _Job | None:
        """Whose turn it is, or None. Whoever is to have none is told so on the way."""
        while True:
            if self._doubtful and not self._is_doubtful_resting:
                queue = self._doubtful
            elif self._ordinary:
                queue = self._ordinary
            else:
                return None
            network, job = queue.pop()
            seconds = self._throttle.seconds_to_wait(job.address)
            if job.is_gone():
                _refuse(job, CallerGone())
            elif seconds:
                for each in (job, *queue.take(network)):
                    _refuse(each, TooManyFailures(seconds))
            elif job.future.done():
                pass
            elif queue is self._doubtful:
                self._is_doubtful_resting = job.is_doubtful = True
                return job
            elif not self._throttle.is_doubtful(job.address):
                return job
            # It failed since this one came.
            elif self._doubtful.has_room(network):
                self._doubtful.add(network, job)
            else:
                _refuse(job, DecryptionsBusy())

    def _end(self, job: _Job) -> None:
        self._running -= 1
        self._decryptions.add()
        if job.is_doubtful:
            job.future.get_loop().call_later(_REST_PER_WORK * job.work_s, self._end_rest)
        job.settle()
        self._start_waiting()

    def _end_rest(self) -> None:
        self._is_doubtful_resting = False
        self._start_waiting()


def _refuse(job: _Job, error: Exception) -> None:
    if not job.future.done():
        job.future.set_exception(error)
