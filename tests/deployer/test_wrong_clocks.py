"""Releases while the clock of a host is wrong. The service on this host is a real process."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from examples.driver import environ
from headgate.client.stubs import serves
from headgate.log import topics
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from tests.deployer.world import STREAM, World, phase_is
from tests.server_process import free_ports
from tests.waiting import PATIENCE_SECONDS, until

SHIFTED_CLOCK = Path(__file__).parents[1] / "shifted_clock"
DAY_SECONDS = 86_400
STEP_MS = 800
ACKNOWLEDGED_SECONDS = 4.0
"""In which a log acknowledges a record on a busy machine. The skew is known this well."""
POLICY = configuration.ReleasePolicy(
    steps=[configuration.Step(weight_bps=5_000, min_duration_ms=STEP_MS, min_keys=100)], bake_ms=STEP_MS
)


class WronglyTimed:
    """A service in a process whose clocks are ahead by the seconds in a file."""

    def __init__(self, service: str, log: str, folder: Path, ahead_seconds: int) -> None:
        self.name, self.grace_seconds = f"{service}-0", 10.0
        self.shift, self._output = folder / "shift", folder / f"{service}.log"
        self._module = f"services.{service}"
        self._port = free_ports(1)[0]
        self._settings = {"HEADGATE_LOG": log, "HEADGATE_PORT": str(self._port), "SHIFTED_CLOCK": str(self.shift)}
        self.jump(ahead_seconds)

    def start(self) -> int:
        path = os.pathsep.join([str(SHIFTED_CLOCK), environ().get("PYTHONPATH", "")])
        env: Mapping[str, str] = environ() | self._settings | {"PYTHONPATH": path}
        with self._output.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self._module], env=env, stdout=output, stderr=output
            )
        until(lambda: serves(f"127.0.0.1:{self._port}"), self.name)
        return self._port

    def stop(self, grace_seconds: float) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(PATIENCE_SECONDS + grace_seconds)

    def jump(self, ahead_seconds: int) -> None:
        new = self.shift.with_suffix(".new")
        new.write_text(str(ahead_seconds))
        new.replace(self.shift)

    def lines(self) -> str:
        return self._output.read_text()


Begin = Callable[[str, int], tuple[World, WronglyTimed]]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Starts a log with all services, of which one has a clock that is ahead by some seconds."""
    worlds: list[World] = []

    def start(service: str, ahead_seconds: int) -> tuple[World, WronglyTimed]:
        world = World(tmp_path)
        worlds.append(world)
        process = WronglyTimed(service, world.url, tmp_path, ahead_seconds)
        getattr(world, service).stop(0)
        setattr(world, service, process)
        world.start()
        world.issue("policy", "environments/production", set_policy=commands.SetPolicy(policy=POLICY))
        world.pass_gate(1)
        world.wait_for(phase_is(1, resources.PHASE_COMPLETED))
        world.pass_gate(2)
        return world, process

    yield start
    for world in worlds:
        world.stop()


def facts_of_release(world: World) -> list[tuple[int, str]]:
    """The facts about release 2, each with the time of the log."""
    with world.fold.lock:
        ends = dict(world.fold.positions())
    found = []
    for partition in ends:
        for record in world.log.read(topics.LIFECYCLE, partition, 0):
            lifecycle = facts.LifecycleRecord.FromString(record.value or b"")
            name = lifecycle.WhichOneof("fact") or ""
            if lifecycle.stream == STREAM and getattr(getattr(lifecycle, name), "release", 0) == 2:
                apart_ms = abs(lifecycle.occurred_at_ms - record.timestamp_ms)
                assert apart_ms < ACKNOWLEDGED_SECONDS * 1000, "facts have the log's time"
                found.append((record.timestamp_ms, name))
    return found


def require_each_wait(world: World) -> None:
    """The release never paused, and stayed for the whole of its step and of its bake."""
    found = facts_of_release(world)
    assert "release_paused" not in [name for _, name in found]
    waits = {second[1]: second[0] - first[0] for first, second in pairwise(found) if first[1] == "weights_applied"}
    for name in ("promotion_started", "release_completed"):
        assert STEP_MS - 50 <= waits[name] < PATIENCE_SECONDS * 1000, waits


@pytest.mark.parametrize(
    ("service", "ahead_seconds"),
    [("deployer", 6), ("deployer", -600), ("deployer", DAY_SECONDS), ("registry", DAY_SECONDS)],
)
def test_a_service_whose_clock_is_wrong_moves_a_release_at_its_time_and_reports_the_clock(
    begin: Begin, service: str, ahead_seconds: int
) -> None:
    world, process = begin(service, ahead_seconds)
    world.wait_for(phase_is(2, resources.PHASE_COMPLETED))
    require_each_wait(world)
    side = "ahead of" if ahead_seconds > 0 else "behind"
    reported = re.search(rf"the clock of this host is ([\d.]+) s {side} the log's time", process.lines())
    assert reported is not None
    assert abs(float(reported[1]) - abs(ahead_seconds)) < ACKNOWLEDGED_SECONDS


def test_a_clock_that_jumps_while_a_release_is_at_a_weight_moves_nothing(begin: Begin) -> None:
    world, process = begin("deployer", 0)
    world.wait_for(lambda state: 2 in state.releases and state.releases[2].applied_at_ms > 0)
    process.jump(DAY_SECONDS)
    world.wait_for(phase_is(2, resources.PHASE_COMPLETED))
    require_each_wait(world)
