"""An error about one model, release or version stops no other one, in every worker and in the gateway."""

import pytest

from headgate.domain.state import ModelState
from headgate.runtime.observability.metric import DEPLOYER
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import resources_pb2 as resources
from headgate.worker.isolation import Undecidable, UndecidableReport, isolated
from headgate.worker.leases import Claim
from headgate.worker.loop import Issue
from services.deployer import pilot, readings
from services.deployer.evidence import GatewayReports
from services.evaluator import due as evaluator
from services.gateway import routes as gateway
from services.trainer import due as trainer
from tests.clocks import liveness
from tests.metrics.exposed import parsed, text_of
from tests.model_states import with_versions

NOW_MS = 1_000_000
BEYOND_INT64 = 2**70


def version(build: resources.BuildState.ValueType, model: str, number: int = 1) -> resources.Version:
    lease = resources.Lease(worker="lost", claimed_at_ms=0, lease_ms=1)
    return resources.Version(
        name=f"models/{model}/versions/{number}",
        version=number,
        build=build,
        verdict=resources.VERDICT_STATE_UNDECIDED,
        retention=resources.RETENTION_STATE_KEPT,
        attempt=1,
        lease=lease,
    )


def stepping(model: str, step: int) -> ModelState:
    """A release at a step of its policy. The policy has no step 9."""
    state = with_versions(
        model, version(resources.BUILD_STATE_EVALUATED, model, 1), version(resources.BUILD_STATE_EVALUATED, model, 2)
    )
    state.model.live["production"] = 1
    state.releases[1] = resources.Release(
        name=f"models/{model}/releases/1",
        release=1,
        environment="production",
        candidate=2,
        stable=1,
        strategy=configuration.STRATEGY_CANARY,
        policy=configuration.ReleasePolicy(
            steps=[configuration.Step(weight_bps=100), configuration.Step(weight_bps=200)]
        ),
        phase=resources.PHASE_STEPPING,
        candidate_ready=True,
        step=step,
        epoch=3,
        applied_at_ms=1,
    )
    return state


def test_a_release_that_cannot_be_judged_stops_no_other_release() -> None:
    models = {"broken": stepping("broken", 9), "fraud": stepping("fraud", 0)}
    found = list(pilot.due(models, {}, GatewayReports(), NOW_MS))
    assert [issue.command.stream for issue in found if isinstance(issue, Issue)] == ["models/fraud"]
    assert [each.name for each in found if isinstance(each, Undecidable)] == ["models/broken/releases/1"]
    waiting = [each.waiting_for for each in pilot.pilots(models, {}, GatewayReports(), NOW_MS)]
    assert waiting[0].startswith("a fix for this error: IndexError")
    found = readings.readings(models, {}, GatewayReports(), NOW_MS)
    assert {reading.values[1] for reading in found if reading.name == readings.E_VALUE} == {"broken", "fraud"}


@pytest.mark.parametrize("build", [resources.BUILD_STATE_TESTING, resources.BUILD_STATE_TRAINING])
def test_a_version_that_a_trainer_cannot_claim_stops_no_other_version(build: resources.BuildState.ValueType) -> None:
    models = {name: with_versions(name, version(build, name)) for name in ("broken", "fraud")}
    heard = liveness(NOW_MS, {Claim("models/broken", 1, 1): -BEYOND_INT64})
    worker = trainer.WorkerState("trainer-0", (), ())
    found = list(trainer.due(models, worker, heard, NOW_MS, lambda claim, version: None))
    assert [issue.command.stream for issue in found if isinstance(issue, Issue)] == ["models/fraud"]
    assert [each.name for each in found if isinstance(each, Undecidable)] == ["models/broken/versions/1"]


def test_a_version_that_an_evaluator_cannot_claim_stops_no_other_version() -> None:
    build = resources.BUILD_STATE_EVALUATING
    models = {name: with_versions(name, version(build, name)) for name in ("broken", "fraud")}
    heard = liveness(NOW_MS, {Claim("models/broken", 1, 1): -BEYOND_INT64})
    found = list(evaluator.due(models, "evaluator-0", heard, NOW_MS))
    assert [each.name for each in found if isinstance(each, Undecidable)] == ["models/broken/versions/1"]
    assert len(found) == 2


def test_a_model_whose_route_cannot_be_decided_stops_no_other_model(monkeypatch: pytest.MonkeyPatch) -> None:
    weight_of = gateway._weight_of

    def failing(candidate: int, release: resources.Release) -> int:
        if release.name.startswith("models/broken/"):
            raise ValueError("no weight")
        return weight_of(candidate, release)

    monkeypatch.setattr(gateway, "_weight_of", failing)
    found = list(gateway.routes({"broken": stepping("broken", 0), "fraud": stepping("fraud", 0)}, "production"))
    assert [route.model for route in found if isinstance(route, gateway.Route)] == ["fraud"]
    assert [each.name for each in found if isinstance(each, Undecidable)] == ["models/broken"]


def test_an_error_is_logged_once_while_it_lasts_and_counted_until_it_is_gone(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics(DEPLOYER)
    report = UndecidableReport(metrics)
    broken = [each for each in isolated("models/fraud", "releases/1", int, "x") if isinstance(each, Undecidable)]
    report.report(broken)
    report.report(broken)
    assert len(caplog.records) == 1
    assert parsed(text_of(metrics)).value("headgate_undecidable") == 1
    report.report([])
    assert parsed(text_of(metrics)).value("headgate_undecidable") == 0
