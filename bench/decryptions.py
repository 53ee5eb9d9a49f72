"""Asks how many RSA-4096 decryptions a second all cores together can do.

A gateway that gets a ciphertext it has never seen cannot answer faster than that.

`python -m bench.decryptions` prints the result as JSON.
"""

from __future__ import annotations

import secrets
import sys
import threading
from time import perf_counter

import msgspec
from cryptography.hazmat.backends.openssl import backend
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15

from bench.machine import count_cores

KEY_BITS = 4096
CIPHERTEXTS = 64


class DecryptionsResult(msgspec.Struct, frozen=True, kw_only=True):
    threads: int
    seconds: float
    decryptions: int
    decryptions_per_second: float
    openssl: str


def measure_decryptions(*, seconds: float) -> DecryptionsResult:
    """One thread a core: the library decrypts outside the interpreter lock."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    public = key.public_key()
    ciphertexts = [
        public.encrypt(secrets.token_hex(16).encode(), PKCS1v15()) for _ in range(CIPHERTEXTS)
    ]
    threads = count_cores()
    counts = [0] * threads
    together = threading.Barrier(threads + 1)

    def decrypt_until_end(index: int) -> None:
        count = 0
        together.wait()
        end = perf_counter() + seconds
        while perf_counter() < end:
            key.decrypt(ciphertexts[count % CIPHERTEXTS], PKCS1v15())
            count += 1
        counts[index] = count

    workers = [threading.Thread(target=decrypt_until_end, args=(at,)) for at in range(threads)]
    for worker in workers:
        worker.start()
    together.wait()
    begun = perf_counter()
    for worker in workers:
        worker.join()
    elapsed = perf_counter() - begun
    return DecryptionsResult(
        threads=threads,
        seconds=elapsed,
        decryptions=sum(counts),
        decryptions_per_second=sum(counts) / elapsed,
        openssl=backend.openssl_version_text(),
    )


def main() -> None:
    sys.stdout.buffer.write(msgspec.json.encode(measure_decryptions(seconds=5.0)) + b"\n")


if __name__ == "__main__":
    main()
