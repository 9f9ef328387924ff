"""Two hundred devices in this process, each with a folder and a link of its own."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

import pytest

from headgate.telemetry import counters
from services.gateway.assignment import arm
from tests.gateway import networks
from tests.gateway.edge.harness import predict, running, running_fleet, serves
from tests.gateway.harness import canary
from tests.waiting import until

DEVICES = [f"till-{number}" for number in range(200)]
WEIGHT_BPS = 2_500
AT_ONCE = 16
LEASE_MS = 600_000
"""Longer than this test may run, so that the speed of the machine decides no arm."""


@pytest.fixture
def fleet(tmp_path):
    with running_fleet(tmp_path, report_seconds=2.0) as fleet:
        fleet.build(1, networks.affine(2.0))
        fleet.build(2, networks.affine(3.0))
        release = canary(WEIGHT_BPS, epoch=7)
        release.policy.candidate_lease_ms = LEASE_MS
        fleet.route(release=release)
        yield fleet


def expected(name):
    """The version and the arm of a device."""
    found = counters.ARM_NAMES[arm("salt", name, WEIGHT_BPS)]
    return (2 if found == "candidate" else 1), found


def counted(fleet):
    """The requests and the keys of all devices, by arm."""
    strata = fleet.log.strata()
    fields = [f"{arm}_{name}" for arm in ("candidate", "stable") for name in ("requests", "keys")]
    return {field: sum(getattr(each, field) for each in strata) for field in fields}


def test_two_hundred_devices_share_the_arms_serve_through_a_cut_and_are_counted_once(fleet):
    arms = Counter(expected(name)[1] for name in DEVICES)
    assert 30 < arms["candidate"] < 70
    with ExitStack() as stack, ThreadPoolExecutor(AT_ONCE) as pool:
        made = [fleet.device(name, chance=number_of(name), tick_seconds=1.0) for name in DEVICES]
        devices = dict(zip(DEVICES, map(stack.enter_context, map(running, made)), strict=True))
        until(
            lambda: all(follows(devices[name], name) for name in DEVICES),
            "the versions of all devices",
            pause_seconds=0.1,
        )
        fleet.cut()
        assert dict(zip(DEVICES, pool.map(predict, devices.values()), strict=True)) == {n: expected(n) for n in DEVICES}
        fleet.restore()
        once = {"candidate_keys": arms["candidate"], "stable_keys": arms["stable"]}
        once |= {"candidate_requests": arms["candidate"], "stable_requests": arms["stable"]}
        until(lambda: counted(fleet) == once, "the evidence of all devices")
        fleet.route(live=2)
        until(lambda: all(map(partial(serves, version=2), devices.values())), "the new live version")
        list(pool.map(lambda device: device.close(), devices.values()))


def number_of(name):
    """Spreads the devices as chance does, the same in each run."""
    return lambda: int(name.removeprefix("till-")) / len(DEVICES)


def follows(device, name):
    entry = device.follower.table.entries.get("fraud")
    return entry is not None and entry.route.release == 1 and expected(name)[0] in entry.versions
