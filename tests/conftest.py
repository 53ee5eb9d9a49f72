"""Settings and guards of the whole suite; each world brings fixtures of its own."""

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

from bench.machine import count_cores
from tests import guards

pytest_plugins = [
    "tests.store.postgres_fixture",
    "tests.store.engine_fixture",
    "tests.api.admin_fixture",
]

# The machine may be busy with other work: a slow example is no defect. In CI the same examples
# are drawn every time, so that a red run is about the change and can be had again; by hand half as
# many are drawn, other ones each time.
settings.register_profile("here", deadline=None, max_examples=50)
settings.register_profile("ci", deadline=None, max_examples=100, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")

# Servers and commands are started by the hundred. Where Python is told to leave no bytecode, as
# images of containers often have it, each of them would compile every module again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

CHILDREN_GONE_S = 5.0

sys.addaudithook(guards.refuse_other_machines)


def pytest_xdist_auto_num_workers() -> int:
    """One more than the processors that are ours: most tests wait for a while. `make` has a bound."""
    asked = os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS")
    return int(asked) if asked else count_cores() + 1


# First to be set up, so last to be torn down: servers that live as long as the run have gone.
@pytest.fixture(scope="session", autouse=True)
def no_process_left_behind() -> Iterator[None]:
    """Fail the run if a process that its tests started outlives them."""
    yield
    leftovers = guards.end_leftovers(guards.list_children(), timeout_s=CHILDREN_GONE_S)
    assert not leftovers, f"still running after the tests: {leftovers}"
