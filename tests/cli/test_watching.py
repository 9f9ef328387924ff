"""A watch of the command line goes on when the registry that it reads from is restarted."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from headgate.client.stubs import Stubs
from headgate.client.watching import REOPEN_SECONDS, watch_through_restarts
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import release_service_pb2 as release_service
from headgate.v1 import resources_pb2 as resources
from tests.deployer.world import World, phase_is


class Unavailable(grpc.RpcError):
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.start()
    yield world
    world.stop()


def test_a_watch_goes_on_when_its_registry_starts_again(world: World) -> None:
    world.issue("policy", "environments/production", set_policy=commands.SetPolicy())
    world.pass_gate(1)
    world.wait_for(phase_is(1, resources.PHASE_COMPLETED))
    world.pass_gate(2)
    world.wait_for(phase_is(2, resources.PHASE_STEPPING))
    request = release_service.WatchReleaseRequest(name="models/fraud/releases/2")
    with Stubs(f"127.0.0.1:{world.registry_port}", "") as stubs:
        responses = watch_through_restarts(lambda: stubs.releases.WatchRelease(request))
        before = next(responses).release
        world.restart_registry()
        assert (next(responses).release.name, before.phase) == ("models/fraud/releases/2", resources.PHASE_STEPPING)
        responses.close()


def test_a_watch_gives_up_after_the_limit_and_at_once_when_no_service_answered_before() -> None:
    sent, clock = [1], [0.0]

    def watch() -> Iterator[int]:
        yield from sent
        sent.clear()
        raise Unavailable

    def pause(seconds: float) -> None:
        clock[0] += seconds

    responses = watch_through_restarts(watch, now=lambda: clock[0], pause=pause)
    assert next(responses) == 1
    with pytest.raises(Unavailable):
        next(responses)
    assert clock[0] == REOPEN_SECONDS
    with pytest.raises(Unavailable):
        next(watch_through_restarts(watch, now=lambda: clock[0], pause=pause))
    assert clock[0] == REOPEN_SECONDS
