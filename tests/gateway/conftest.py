import sys

import pytest

from services.gateway import follower
from services.gateway.loading import first_load


@pytest.fixture(scope="session", autouse=True)
def short_fold_wait():
    """A gateway's follower notices its end sooner, because hundreds of them end one after the other."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(follower, "FOLD_WAIT_SECONDS", 0.05)
        yield


@pytest.fixture(scope="session", autouse=True)
def memory_kept():
    """A gateway gives memory back once. Here hundreds share a process, and each would read all of its memory."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(first_load, "give_back", lambda: None)
        yield


@pytest.fixture
def often_switched():
    """Python changes threads as often as it can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
