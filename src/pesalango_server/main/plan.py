"""What the engine process tells a worker before it starts: one document through a pipe.

A pipe, because it holds the database's password, and a command line is everybody's to read.
"""

import os

import msgspec

from pesalango_server.http.tls import TlsMaterial
from pesalango_server.settings import Settings
from pesalango_server.storage.address import DatabaseAddress


class FacePlan(msgspec.Struct, frozen=True):
    """A listening socket (its inherited descriptor) and what is served there, and how.

    What is said to an exposed one can be read by others on its way (`gateway/exposure.py`).
    """

    descriptor: int
    serves_gateway: bool
    serves_admin: bool
    is_exposed: bool = False
    is_tls: bool = False


class TlsPlan(msgspec.Struct, frozen=True):
    """The certificate to serve with, and the descriptor that tells of later ones."""

    material: TlsMaterial
    renewals: int


class WorkerPlan(msgspec.Struct, frozen=True):
    """Everything a worker needs; `links` are inherited descriptors by database."""

    number: int
    settings: Settings
    addresses: dict[str, DatabaseAddress]
    links: dict[str, int]
    faces: tuple[FacePlan, ...]
    unanswered_max: int
    prompts_waiting_max: int
    is_demonstration: bool
    tls: TlsPlan | None


def send_plan(plan: WorkerPlan) -> int:
    """Put a plan into a pipe; the descriptor to read it from, for a child to inherit."""
    read_end, write_end = os.pipe()
    body = msgspec.msgpack.encode(plan)
    # The pipe is not read before the child runs, so it must hold the whole plan.
    if len(body) > 60_000:
        raise ValueError("a worker's plan must fit into a pipe")
    with os.fdopen(write_end, "wb") as pipe:
        pipe.write(body)
    return read_end


def receive_plan(descriptor: int) -> WorkerPlan:
    """The plan that the engine process sent."""
    with os.fdopen(descriptor, "rb") as pipe:
        return msgspec.msgpack.decode(pipe.read(), type=WorkerPlan)
