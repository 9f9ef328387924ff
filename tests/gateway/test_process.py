"""The gateway as a process of its own, with a real log, signed artifacts, a real client and SIGTERM."""

import pytest

from headgate.log import topics
from headgate.telemetry.predictions import newest
from headgate.v1 import telemetry_pb2 as telemetry
from tests.gateway import networks
from tests.gateway.harness import infer_request
from tests.gateway.running_process import Running

MAX_IDLE_MIB = 90
HEAVY = ("onnxruntime", "_rust.abi3")
"""Libraries that only loaded versions need."""


@pytest.fixture
def running(tmp_path):
    process = Running(tmp_path)
    process.build(1, networks.affine(2.0))
    process.start()
    yield process
    process.close()


def test_a_gateway_serves_the_releases_of_the_log_reports_them_and_ends_without_losing_a_request(running):
    assert [name for name in running.libraries() if name.startswith(HEAVY)] == []
    assert running.resident_mib() < MAX_IDLE_MIB
    running.build(2, networks.affine(3.0))
    epoch = running.promote(release=1, candidate=1)
    running.wait_for_status(lambda status: status.epoch == epoch)
    assert running.stub.ModelInfer(infer_request([[1, 1, 1]], key="a")).model_version == "1"
    running.complete(1, epoch)

    second = running.promote(release=2, candidate=2, stable=1)
    running.wait_for_status(lambda status: status.epoch == second)
    assert running.stub.ModelInfer(infer_request([[1, 1, 1]], key="b")).model_version == "2"

    # All are sent together. When the first is answered, the others are in progress.
    accepted = [running.stub.ModelInfer.future(infer_request([[1, 1, 1]], key=f"k{n}")) for n in range(50)]
    accepted[0].result()
    assert running.terminate() == 0
    assert [call.exception() for call in accepted] == [None] * len(accepted)

    records = running.telemetry()
    assert records[-1].boot_id == records[0].boot_id
    assert any(record.gateway_status.leaving for record in records)
    reports = [record.evidence for record in records if record.HasField("evidence")]
    last = [report for report in reports if report.epoch == second][-1]
    candidate = next(arm for arm in last.arms if arm.arm == telemetry.ARM_CANDIDATE)
    assert (candidate.version, candidate.requests, candidate.keys) == (2, 51, 51)

    # What was answered is recorded too, up to the last request.
    recorded = newest(running.log, "fraud", 100, running.log.end(topics.PREDICTIONS))
    assert [each.version for each in recorded] == [1] + [2] * 51
    assert {(each.release, each.arm) for each in recorded} == {
        (1, telemetry.ARM_CANDIDATE),
        (2, telemetry.ARM_CANDIDATE),
    }
    assert len({each.key_hash for each in recorded}) == 52
    (features,), (answer,) = recorded[0].inputs, recorded[0].outputs
    assert (features.shape, len(features.raw), answer.name != "") == ([1, 3], 12, True)
