"""What is given to the threads comes back on the event loop, however they are ended."""

import asyncio
import os
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from pesalango_server.gateway.decryption_threads import Decryption, DecryptionThreads

SECRETS = [f"secret {number:02}" for number in range(30)]


@pytest.mark.parametrize("threads", [1, 3])
def test_what_was_started_comes_back_also_where_the_threads_are_closed(threads: int) -> None:
    key = rsa.generate_private_key(65537, 1024)
    ciphertexts = [key.public_key().encrypt(each.encode(), PKCS1v15()) for each in SECRETS]

    async def run() -> list[str]:
        pool: DecryptionThreads[Decryption] = DecryptionThreads(threads, ended=Decryption.settle)
        loop = asyncio.get_running_loop()
        jobs = [Decryption(key, each, loop.create_future()) for each in ciphertexts]
        for job in jobs:
            pool.start(job)
        pool.close()
        async with asyncio.timeout(10):
            return await asyncio.gather(*(job.future for job in jobs))

    assert asyncio.run(run()) == SECRETS


def test_few_do_not_wait_for_more_to_come() -> None:
    key = rsa.generate_private_key(65537, 1024)
    ciphertext = key.public_key().encrypt(b"secret", PKCS1v15())

    async def run() -> list[str]:
        pool: DecryptionThreads[Decryption] = DecryptionThreads(2, ended=Decryption.settle)
        secrets = []
        async with asyncio.timeout(10):
            for _ in range(5):
                job = Decryption(key, ciphertext, asyncio.get_running_loop().create_future())
                pool.start(job)
                secrets.append(await job.future)
        pool.close()
        return secrets

    assert asyncio.run(run()) == ["secret"] * 5


def test_threads_that_may_not_give_way_decrypt_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: int) -> None:
        raise PermissionError("not permitted here")

    monkeypatch.setattr(os, "setpriority", refuse)
    test_few_do_not_wait_for_more_to_come()


class Panic(BaseException):
    """As a library written in another language raises it."""


class BrokenKey:
    def decrypt(self, *_: object) -> bytes:
        raise Panic


def test_a_panic_of_the_library_is_one_callers_fault_and_not_the_end_of_a_thread() -> None:
    key = rsa.generate_private_key(65537, 1024)
    ciphertext = key.public_key().encrypt(b"secret", PKCS1v15())

    async def run() -> None:
        pool: DecryptionThreads[Decryption] = DecryptionThreads(1, ended=Decryption.settle)
        broken: Any = BrokenKey()
        for some_key, is_broken in ((broken, True), (key, False)):
            job = Decryption(some_key, ciphertext, asyncio.get_running_loop().create_future())
            pool.start(job)
            async with asyncio.timeout(10):
                if is_broken:
                    with pytest.raises(RuntimeError) as caught:
                        await job.future
                    assert isinstance(caught.value.__cause__, Panic)
                else:
                    assert await job.future == "secret"
                    assert job.work_s > 0
        pool.close()

    asyncio.run(run())
