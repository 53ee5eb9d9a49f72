"""Which bearers are decrypted, and in which order, when more come than can be."""

import asyncio
from typing import Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from pesalango_server.gateway.decryption_threads import Decryption, DecryptionThreads
from pesalango_server.gateway.fair_queue import FairQueue
from pesalango_server.gateway.throttle import FailureThrottle, find_network
from pesalango_server.http.addresses import Address, Network
from pesalango_server.telemetry import Counter

_STARTED_PER_THREAD: Final = 6
"""More than is decrypted, so that no thread waits for the event loop."""

_DOUBTFUL_ROOM_SHARE: Final = 8
_REST_PER_WORK: Final = 9
_REST_MAX_S: Final = 0.1


class DecryptionsBusy(Exception):
    """Too many bearers wait to be decrypted."""


class TooManyFailures(Exception):
    """Where the bearer comes from, too many others failed; `seconds` until one is looked at."""

    def __init__(self, seconds: int) -> None:
        super().__init__("too many failed authentications")
        self.seconds = seconds


class _Job(Decryption):
    """Of one address, which is doubtful or not at the moment of its turn."""

    __slots__ = ("address", "is_doubtful", "started_s")

    def __init__(
        self,
        key: RSAPrivateKey,
        ciphertext: bytes,
        future: asyncio.Future[str],
        address: Address | None,
    ) -> None:
        super().__init__(key, ciphertext, future)
        self.address = address
        self.is_doubtful = False
        self.started_s = 0.0


class Decryptor:
    """Two bounded queues before a few threads. Everything else happens on the event loop.

    Networks take turns. The ciphertexts of doubtful ones (see `FailureThrottle`) stand in a queue
    of their own, which gets a tenth of one thread's time, and no more where nobody else waits: one
    is decrypted at a time, then that queue rests nine times as long. What waits of a network that
    has failed too often meanwhile is refused undecrypted.
    """

    def __init__(
        self, *, throttle: FailureThrottle, threads: int, waiting_max: int, decryptions: Counter
    ) -> None:
        self._throttle = throttle
        self._threads = DecryptionThreads(threads, ended=self._end)
        self._running = 0
        self._running_max = threads * _STARTED_PER_THREAD
        self._ordinary: FairQueue[Network | None, _Job] = FairQueue(waiting_max)
        self._doubtful: FairQueue[Network | None, _Job] = FairQueue(
            max(1, waiting_max // _DOUBTFUL_ROOM_SHARE)
        )
        self._is_doubtful_resting = False
        self._decryptions = decryptions

    async def decrypt(self, key: RSAPrivateKey, ciphertext: bytes, address: Address | None) -> str:
        """The secret, as a text of one character for each byte; noise for wrong padding.

        Raises `DecryptionsBusy` and `TooManyFailures`.
        """
        self.check_room(address)
        job = _Job(key, ciphertext, asyncio.get_running_loop().create_future(), address)
        self._find_queue(address).add(find_network(address), job)
        self._start_waiting()
        return await job.future

    def check_room(self, address: Address | None) -> None:
        """Raise `DecryptionsBusy` where one more from there would find no place."""
        if not self._find_queue(address).has_room(find_network(address)):
            raise DecryptionsBusy

    def _find_queue(self, address: Address | None) -> FairQueue[Network | None, _Job]:
        return self._doubtful if self._throttle.is_doubtful(address) else self._ordinary

    def close(self) -> None:
        """Drop what waits, let the rest end."""
        for queue in (self._ordinary, self._doubtful):
            while queue:
                queue.pop()[1].future.cancel()
        self._threads.close()

    def _start_waiting(self) -> None:
        while self._running < self._running_max:
            job = self._draw()
            if job is None:
                return
            self._running += 1
            self._threads.start(job)

    def _draw(self) -> _Job | None:
        """Whose turn it is, without those who have gone away; None where nobody's is."""
        while True:
            if self._doubtful and not self._is_doubtful_resting:
                job = self._draw_doubtful()
            elif self._ordinary:
                job = self._draw_ordinary()
            else:
                return None
            if job is not None:
                return job

    def _draw_ordinary(self) -> _Job | None:
        network, job = self._ordinary.pop()
        if job.future.done():
            return None
        if not self._throttle.is_doubtful(job.address):
            return job
        # It failed since this one came.
        if self._doubtful.has_room(network):
            self._doubtful.add(network, job)
        else:
            _refuse(job, DecryptionsBusy())
        return None

    def _draw_doubtful(self) -> _Job | None:
        network, job = self._doubtful.pop()
        if job.future.done():
            return None
        seconds = self._throttle.seconds_to_wait(job.address)
        if seconds:
            for each in (job, *self._doubtful.take(network)):
                _refuse(each, TooManyFailures(seconds))
            return None
        self._is_doubtful_resting = job.is_doubtful = True
        job.started_s = job.future.get_loop().time()
        return job

    def _end(self, job: Decryption) -> None:
        self._running -= 1
        self._decryptions.add()
        if isinstance(job, _Job) and job.is_doubtful:
            loop = job.future.get_loop()
            rest_s = _REST_PER_WORK * (loop.time() - job.started_s)
            loop.call_later(min(rest_s, _REST_MAX_S), self._end_rest)
        if not job.future.done():
            if job.fault is None:
                job.future.set_result(job.secret)
            else:
                job.future.set_exception(job.fault)
        self._start_waiting()

    def _end_rest(self) -> None:
        self._is_doubtful_resting = False
        self._start_waiting()


def _refuse(job: _Job, error: Exception) -> None:
    if not job.future.done():
        job.future.set_exception(error)
