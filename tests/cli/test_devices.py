"""`headgate gateway devices` lists what gateways know of the devices at the edge."""

import json

import pytest

from headgate.artifacts.keys import new_signing_key
from headgate.cli.devices import merged
from headgate.cli.exit_codes import Exit
from headgate.v1 import edge_service_pb2 as edge
from tests.cli.running import run_headgate
from tests.gateway import networks
from tests.gateway.edge.harness import await_version, running, running_fleet
from tests.gateway.harness import canary
from tests.waiting import until


@pytest.fixture
def headgate(tmp_path, monkeypatch, capsys):
    """Runs a command in an empty folder. Returns its exit code, its output and its errors."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: run_headgate(monkeypatch, capsys, *words)


def test_the_list_says_what_each_device_serves_and_refuses_and_which_are_away(tmp_path, headgate):
    with running_fleet(tmp_path) as fleet:
        fleet.build(1, networks.affine(2.0))
        fleet.build(2, networks.affine(3.0), key=new_signing_key())
        fleet.route(release=canary(10_000, epoch=7, candidate=1, stable=0))
        with running(fleet.device("gone")) as gone:
            await_version(gone, 1)

        def found():
            code, printed, _ = headgate("gateway", "devices", "--from", fleet.address, "-o", "json")
            assert code == Exit.OK
            return {each["device"]: each for each in json.loads(printed)}

        until(lambda: "following" not in found()["gone"], "the end of its watch")
        fleet.route(live=2)
        with running(fleet.device("till-1", chance=lambda: 0.5)):
            until(lambda: "refused" in found().get("till-1", {}), "the refusal")
            code, printed, _ = headgate("gateway", "devices", "--from", fleet.address, "--wide")
            till = next(line for line in printed.splitlines() if line.startswith("till-1"))
            assert (code, till.split()[1]) == (Exit.OK, "follows")
            assert "fraud v2: the manifest " in till
            assert next(line for line in printed.splitlines() if line.startswith("gone")).split()[1] == "away"
            assert "till-1" in headgate("gateway", "devices", "--from", fleet.address, "--troubled")[1]
            assert "gone" in headgate("gateway", "devices", "--from", fleet.address, "-n", "1")[1]
            assert "-n lists more" in headgate("gateway", "devices", "--from", fleet.address, "-n", "1")[2]
            assert (
                "this gateway serves production"
                in headgate("gateway", "devices", "--from", fleet.address, "--environment", "x")[2]
            )


def test_a_wrong_address_is_refused_before_any_call(headgate):
    code, _, errors = headgate("gateway", "devices", "--from", "nowhere")
    assert (code, "--from nowhere" in errors) == (Exit.USAGE, True)


def device(name, following, silent_ms, refused=0):
    faults = [edge.RefusedVersion(model="fraud", version=2)] * refused
    return edge.EdgeDevice(device=name, following=following, silent_ms=silent_ms, refused=faults)


def test_of_several_gateways_the_one_that_the_device_follows_knows_it_best():
    moved = device("b", True, 9_000), device("b", False, 100)
    silent = device("a", False, 200), device("a", False, 100)
    assert merged([*moved, *silent]) == [silent[1], moved[0]]
    assert merged([*moved, *silent], troubled=True) == [silent[1]]
