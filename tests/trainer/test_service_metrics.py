"""The trainer's metrics of its attempts."""

from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import telemetry_pb2 as telemetry
from headgate.worker.leases import Claim
from services.trainer.attempts import Attempts
from services.trainer.service_metrics import TrainerMetrics
from tests.metrics.exposed import parsed, text_of

MODELS = 1_000


def measure(attempts: Attempts, model: str, epoch: int, loss: float) -> None:
    claim = Claim(f"models/{model}", 1, 1)
    attempt = attempts.begin(claim, now_ms=epoch)
    attempts.add_epoch(
        attempt, telemetry.EpochMeasured(model=model, epoch=epoch, train_loss=loss, validation_loss=loss / 2)
    )


def test_attempts_are_counted_by_how_they_end() -> None:
    metrics = Metrics("trainer")
    trainer_metrics = TrainerMetrics(metrics, list)
    reports = (
        commands.Command(report_training_finished=commands.ReportTrainingFinished()),
        commands.Command(
            report_training_failed=commands.ReportTrainingFailed(fact=facts.TrainingFailed(stage=facts.STAGE_DATA))
        ),
        commands.Command(report_code_tested=commands.ReportCodeTested(fact=facts.CodeTested(passed=False))),
        None,
    )
    for report in reports:
        with trainer_metrics.attempt() as outcome:
            outcome.set_from(report)
    shown = parsed(text_of(metrics))
    for outcome, count in (("finished", 1), ("failed", 2), ("left", 1)):
        assert shown.value("headgate_training_duration_seconds_count", outcome=outcome) == count
    for stage in ("data", "tests"):
        assert shown.value("headgate_failed_attempts_total", stage=stage) == 1


def test_a_model_that_is_trained_again_comes_first_with_its_newest_epoch() -> None:
    attempts = Attempts()
    for model, version, epoch in (("fraud", 1, 9), ("tiny", 1, 9), ("fraud", 2, 1)):
        attempt = attempts.begin(Claim(f"models/{model}", version, 1), now_ms=0)
        attempts.add_epoch(attempt, telemetry.EpochMeasured(model=model, version=version, epoch=epoch))
    assert [(epoch.model, epoch.version) for epoch in attempts.last_epochs()] == [("fraud", 2), ("tiny", 1)]


def test_the_last_losses_of_a_thousand_models_stay_within_the_cap() -> None:
    metrics = Metrics("trainer")
    attempts = Attempts(metrics.counter("headgate_training_epochs_total").labels().inc)
    TrainerMetrics(metrics, attempts.last_epochs)
    for number in range(MODELS):
        measure(attempts, f"model-{number}", 1, loss=number)
    measure(attempts, "fraud", 7, loss=0.5)
    shown = parsed(text_of(metrics))
    assert shown.value("headgate_training_epochs_total") == MODELS + 1
    assert shown.value("headgate_training_loss", model="fraud", kind="train") == 0.5
    assert shown.value("headgate_training_loss", model="fraud", kind="validation") == 0.25
    assert shown.series_by_name()["headgate_training_loss"] <= 200
