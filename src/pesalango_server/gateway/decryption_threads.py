"""Threads that decrypt, and nothing else: RSA runs outside the interpreter lock."""

import contextlib
import os
import sys
import threading
from asyncio import AbstractEventLoop, Future
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from time import thread_time
from typing import Final, Generic, TypeVar

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

_PADDING: Final = PKCS1v15()
_HANDED_BACK_TOGETHER: Final = 8
"""While more wait to be decrypted; the engine then books as many together."""

_NICENESS: Final = 5
_NICENESS_MAX: Final = 19


class Decryption:
    """A ciphertext on its way to its secret, which the future gets on its event loop.

    `work_s` is how long a processor was at it, in seconds.
    """

    __slots__ = ("ciphertext", "fault", "future", "key", "secret", "work_s")

    def __init__(self, key: RSAPrivateKey, ciphertext: bytes, future: Future[str]) -> None:
        self.key = key
        self.ciphertext = ciphertext
        self.future = future
        self.secret = ""
        self.fault: BaseException | None = None
        self.work_s = 0.0

    def run(self) -> None:
        """Decrypt, in any thread. Noise stands for wrong padding."""
        began_s = thread_time()
        try:
            self.secret = self.key.decrypt(self.ciphertext, _PADDING).decode("latin-1")
        except ValueError:
            # A number above the key's modulus, which the caller can tell as well as we can: no
            # secret, which goes the way of every wrong one.
            pass
        except BaseException as fault:  # noqa: BLE001 - a library's panic must not end the thread
            self.fault = fault
        self.work_s = thread_time() - began_s

    def settle(self) -> None:
        """Tell whoever waits, on the event loop; a caller who has gone away is let be."""
        if self.future.done():
            return
        if self.fault is None:
            self.future.set_result(self.secret)
        else:
            error = RuntimeError("decrypting failed")
            error.__cause__ = self.fault
            self.future.set_exception(error)


AnyDecryption = TypeVar("AnyDecryption", bound=Decryption)


class DecryptionThreads(Generic[AnyDecryption]):
    """Takes decryptions in order and hands them back on their event loop, several at a time.

    An executor and its futures take the interpreter lock several times for each result, and under
    load every time is a wait. `ended` is called on the event loop for each that has ended.
    """

    def __init__(self, count: int, *, ended: Callable[[AnyDecryption], None]) -> None:
        self._ended = ended
        self._waiting: SimpleQueue[AnyDecryption | None] = SimpleQueue()
        self._done: deque[AnyDecryption] = deque()
        # With few threads fewer are started than that, and they must not wait for the event loop.
        self._together = min(_HANDED_BACK_TOGETHER, 2 * count)
        self._is_told = self._is_closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"decryptor-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def start(self, decryption: AnyDecryption) -> None:
        """Decrypt it as soon as a thread is free."""
        self._waiting.put(decryption)

    def close(self) -> None:
        """Let the threads end what was started before."""
        self._is_closed = True
        for _ in self._threads:
            self._waiting.put(None)

    def _run(self) -> None:
        _give_way()
        while (decryption := self._waiting.get()) is not None:
            decryption.run()
            self._done.append(decryption)
            if len(self._done) >= self._together or self._is_last():
                self._tell(decryption.future.get_loop())

    def _is_last(self) -> bool:
        """Whether no thread is sure to come by here again soon."""
        # In this order: whoever sees what `close` has put sees the flag that it set before.
        return self._waiting.empty() or self._is_closed

    def _tell(self, loop: AbstractEventLoop) -> None:
        if self._is_told:
            return
        self._is_told = True
        # A loop that is closed has nobody who waits.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self._hand_back)

    def _hand_back(self) -> None:
        # In this order: what a thread adds from here on is either found below or told anew.
        self._is_told = False
        while self._done:
            self._ended(self._done.popleft())


def _give_way() -> None:
    """Let this thread yield to the event loop and to the engine, which take less and hold up more.

    Threads have a niceness of their own on Linux alone; elsewhere it is the process's. Where the
    system does not let it be set (the filter of a systemd unit, a sandbox), decrypting goes on.
    """
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError):
        own = threading.get_native_id()
        niceness = os.getpriority(os.PRIO_PROCESS, own) + _NICENESS
        os.setpriority(os.PRIO_PROCESS, own, min(niceness, _NICENESS_MAX))
