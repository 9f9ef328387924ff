"""The command of the Redis container in k8s/, on a real server: clients without the password get no answer."""

import os
import signal

import pytest
from redis import AuthenticationError, Redis

from tests.conftest import redis_available
from tests.deploy.changes import container
from tests.deploy.manifests import objects
from tests.server_process import ServerUnavailable, await_ready, end, free_ports, launch, listens
from tests.waiting import PATIENCE_SECONDS


def command(port: int) -> list[str]:
    found = container(objects("prod"), "redis")
    return [*found["command"], *found["args"], "--port", str(port)]


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts the server with this password and returns its port."""
    redis_available().close()
    started = []

    def run(password: str) -> int:
        monkeypatch.setitem(os.environ, "REDIS_PASSWORD", password)
        (port,) = free_ports(1)
        started.append(launch(command(port), tmp_path / "redis.log"))
        await_ready(started[-1], tmp_path / "redis.log", lambda: listens(port), PATIENCE_SECONDS)
        return port

    yield run
    for process in started:
        end(process, signal.SIGKILL)


def test_it_asks_for_the_password_and_protected_mode_is_on(start):
    port = start("s3cret")
    with Redis(port=port) as stranger, pytest.raises(AuthenticationError):
        stranger.ping()
    with Redis(port=port, password="s3cret") as registry:
        assert registry.config_get("protected-mode") == {"protected-mode": "yes"}


def test_without_a_password_it_does_not_start(start):
    with pytest.raises(ServerUnavailable, match="requirepass"):
        start("")
