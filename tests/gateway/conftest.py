import sys

import pytest

from services.gateway import follower


@pytest.fixture(scope="session", autouse=True)
def short_fold_wait():
    """A gateway's follower notices its end sooner, because hundreds of them end one after the other."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(follower, "FOLD_WAIT_SECONDS", 0.05)
        yield


@pytest.fixture
def often_switched():
    """Python changes threads as often as it can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)
