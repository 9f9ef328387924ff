"""A watch outlives the registry it listens to: what the command line follows goes on at the next one."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from headgate.client.stubs import Stubs
from headgate.client.watching import AGAIN_SECONDS, kept
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import release_service_pb2 as release_service
from headgate.v1 import resources_pb2 as resources
from tests.deployer.world import World, phase_is


class Away(grpc.RpcError):
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
        seen = kept(lambda: stubs.releases.WatchRelease(request))
        before = next(seen).release
        world.restart_registry()
        assert (next(seen).release.name, before.phase) == ("models/fraud/releases/2", resources.PHASE_STEPPING)
        seen.close()


def test_a_watch_gives_up_when_nobody_goes_on_and_at_once_when_nobody_was_there() -> None:
    said, clock = [1], [0.0]

    def watch() -> Iterator[int]:
        yield from said
        said.clear()
        raise Away

    def pause(seconds: float) -> None:
        clock[0] += seconds

    seen = kept(watch, now=lambda: clock[0], pause=pause)
    assert next(seen) == 1
    with pytest.raises(Away):
        next(seen)
    assert clock[0] == AGAIN_SECONDS
    with pytest.raises(Away):
        next(kept(watch, now=lambda: clock[0], pause=pause))
    assert clock[0] == AGAIN_SECONDS
