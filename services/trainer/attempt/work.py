"""One attempt at one version: checkout, configuration, data, tests, training, export, artifact; and its report.

Foreign code runs in child processes only. Whatever it does, the attempt ends with a report or with the trainer.
"""

import json
import logging
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headgate.artifacts.layout import EXPORTED_FILES, PROVENANCE_FILE
from headgate.artifacts.manifest import seal
from headgate.artifacts.store import MAX_FILE_BYTES
from headgate.runtime.clock import now_ms
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from headgate.worker.leases import Claim, heartbeat
from services.trainer.attempt import processes
from services.trainer.attempt.bench import Bench, scratch_directory, send
from services.trainer.attempt.checkout import check_out, read_configuration, verified_data
from services.trainer.attempt.environment import training_environment
from services.trainer.attempt.failure import AttemptFailed
from services.trainer.attempt.processes import LOG_TAIL_BYTES, Stopped
from services.trainer.attempt.progress import Progress
from services.trainer.attempt.provenance import provenance
from services.trainer.attempt.resuming import Origin, drop, find, fingerprint, keep
from services.trainer.attempts import Attempt
from services.trainer.due import WORK, envelope
from services.trainer.job import CHECKPOINT, FILES, PROGRESS, RESUME, TRAIN, Job, write_job

MAX_REASON = 4096

logger = logging.getLogger(__name__)


def do(bench: Bench, claim: Claim, version: resources.Version) -> commands.Command | None:
    """The report of the attempt; None when the trainer stops or holds it no more."""
    if told := bench.attempts.outcome(claim):
        return told
    attempt = bench.attempts.begin(claim, now_ms())
    outcome = None
    try:
        with scratch_directory(bench.scratch) as scratch, heartbeat(bench.telemetry, claim, WORK):
            outcome = Work(bench, attempt, version, scratch).outcome()
    except Stopped:
        logger.info("attempt left", extra={"attempt": claim.name})
    finally:
        bench.attempts.end(attempt, outcome)
    return outcome


class Work:
    def __init__(self, bench: Bench, attempt: Attempt, version: resources.Version, scratch: Path) -> None:
        self.bench = bench
        self.attempt = attempt
        self.claim = attempt.claim
        self.version = version
        self.name = attempt.claim.version_name
        self.scratch = scratch
        self.environment = training_environment()

    def outcome(self) -> commands.Command:
        (self.scratch / "job").mkdir()
        self.child = processes.Program(
            [*self.bench.child, str(self.scratch / "job")],
            self.scratch,
            processes.surroundings(self.scratch),
            self.scratch / "training.log",
        )
        try:
            return self._reported()
        finally:
            self.child.end()

    def _reported(self) -> commands.Command:
        try:
            checkout, parsed, data = self._fetch()
            if not self.version.HasField("configuration"):
                tested = self._test(checkout, parsed)
                if not tested.report_code_tested.fact.passed:
                    return tested
                self.bench.issue(tested)
            if self.version.build == resources.BUILD_STATE_TESTING:
                started = facts.TrainingStarted(**self._which(), environment=self.environment)
                report = commands.ReportTrainingStarted(fact=started)
                self.bench.issue(self._command("training", report_training_started=report))
            finished = self._train(checkout, parsed, data)
        except AttemptFailed as failure:
            drop(self.bench.store, self.name)
            return self._failed(failure)
        drop(self.bench.store, self.name)
        report_finished = commands.ReportTrainingFinished(fact=finished)
        return self._command("finished", report_training_finished=report_finished)

    def _fetch(self) -> tuple[Path, configuration.ModelConfiguration, dict[str, Path]]:
        checkout = check_out(self.version.repository, self.version.commit, self.scratch, self.attempt.cancelled)
        self.bench.attempts.enter(self.attempt, facts.STAGE_CONFIGURATION)
        parsed = read_configuration(checkout, self.claim.model)
        self.bench.attempts.enter(self.attempt, facts.STAGE_DATA)
        return checkout, parsed, verified_data(checkout, parsed)

    def _test(self, checkout: Path, parsed: configuration.ModelConfiguration) -> commands.Command:
        """The report of the repository's own tests at the commit."""
        self.bench.attempts.enter(self.attempt, facts.STAGE_TESTS)
        # pytest looks upwards for settings: here it finds none, and not those of whatever surrounds the scratch.
        (self.scratch / "pytest.ini").write_text("[pytest]\n")
        # A copy: what the tests leave behind must not reach the training.
        copy = self.scratch / "tests"
        shutil.copytree(checkout, copy, symlinks=True)
        ended = processes.run(
            shlex.split(parsed.code.tests),
            copy,
            processes.surroundings(self.scratch),
            self.scratch / "tests.log",
            self.bench.limits.tests_seconds,
            self.attempt.cancelled,
        )
        if ended.overran:
            raise AttemptFailed(facts.STAGE_TESTS, f"the tests {ended.overran}", ended.log_tail)
        fact = facts.CodeTested(
            **self._which(),
            passed=ended.exit_code == 0,
            exit_code=ended.exit_code,
            duration_ms=ended.duration_ms,
            log_tail=ended.log_tail,
            configuration=parsed,
        )
        return self._command("tested", report_code_tested=commands.ReportCodeTested(fact=fact))

    def _train(
        self, checkout: Path, parsed: configuration.ModelConfiguration, data: dict[str, Path]
    ) -> facts.TrainingFinished:
        self.bench.attempts.enter(self.attempt, facts.STAGE_TRAINING)
        directory = self.scratch / "job"
        write_job(directory, job_of(checkout, parsed, data, self.environment, self.bench.limits.checkpoint_seconds))
        origin = Origin(self.name, fingerprint(self.version.commit, parsed.digest, self.environment))
        found = find(self.bench.store, self.bench.trusted, origin)
        if found is not None:
            (directory / RESUME).write_bytes(found.state)
        progress = self._progress(directory, parsed.train.epochs, origin)
        self.child.tell(TRAIN)
        ended = self.child.wait(self.bench.limits.training_seconds, self.attempt.cancelled, progress.overran)
        progress.read()
        finished = finish(progress, ended)
        self.bench.attempts.enter(self.attempt, facts.STAGE_EXPORT)
        resumed = finished["resumed_from"] > 0 and found is not None
        return facts.TrainingFinished(
            **self._which(),
            artifact=self._seal(directory / FILES, parsed),
            epochs=finished["epochs"]["epoch"],
            train_loss=finished["epochs"]["train_loss"],
            validation_loss=finished["epochs"]["validation_loss"],
            duration_ms=ended.duration_ms,
            export_difference=finished["export_difference"],
            resumed_from_epoch=finished["resumed_from"] if resumed else 0,
            resumed_from_attempt=found.attempt if resumed and found else 0,
        )

    def _seal(self, directory: Path, parsed: configuration.ModelConfiguration) -> facts.Artifact:
        files = {}
        for name in EXPORTED_FILES:
            file = directory / name
            if not file.is_file() or file.is_symlink() or file.stat().st_size > MAX_FILE_BYTES:
                raise AttemptFailed(facts.STAGE_EXPORT, f"{name} is missing or larger than {MAX_FILE_BYTES} bytes")
            files[name] = file.read_bytes()
        version = self.version
        files[PROVENANCE_FILE] = provenance(files, version.repository, version.commit, parsed, self.environment)
        return seal(self.bench.store, files, self.name, self.bench.key)

    def _progress(self, directory: Path, epochs: int, origin: Origin) -> Progress:
        def kept(epoch: int) -> None:
            keep(self.bench.store, self.bench.key, origin, self.claim.attempt, epoch, directory / CHECKPOINT)

        return Progress(directory / PROGRESS, self.bench.limits.epoch_seconds, self._measured_by(epochs), kept)

    def _measured_by(self, epochs: int) -> Callable[[dict[str, Any]], None]:
        def measured(line: dict[str, Any]) -> None:
            epoch = telemetry.EpochMeasured(
                model=self.claim.model,
                **self._which(),
                epoch=line["epoch"],
                epochs=epochs,
                train_loss=line["train_loss"],
                validation_loss=line["validation_loss"],
                duration_ms=line.get("duration_ms", 0),
            )
            self.bench.attempts.measured(self.attempt, epoch)
            send(self.bench, self.claim, epoch_measured=epoch)

        return measured

    def _failed(self, failure: AttemptFailed) -> commands.Command:
        fact = facts.TrainingFailed(
            **self._which(),
            stage=failure.stage,
            reason=failure.reason[:MAX_REASON],
            log_tail=failure.log_tail[-LOG_TAIL_BYTES:],
        )
        return self._command("failed", report_training_failed=commands.ReportTrainingFailed(fact=fact))

    def _which(self) -> dict[str, int]:
        return {"version": self.claim.version, "attempt": self.claim.attempt}

    def _command(self, what: str, **command: object) -> commands.Command:
        return envelope(self.claim, what, self.version, self.bench.worker, **command)


def job_of(
    checkout: Path,
    parsed: configuration.ModelConfiguration,
    data: dict[str, Path],
    environment: dict[str, str],
    checkpoint_seconds: float,
) -> Job:
    train = parsed.train
    return Job(
        checkout=str(checkout),
        module=parsed.code.module,
        task=parsed.task,
        data={name: str(path) for name, path in data.items()},
        parameters=json.loads(parsed.parameters_json),
        loss=train.loss,
        optimizer=train.optimizer,
        learning_rate=train.learning_rate,
        momentum=train.momentum,
        weight_decay=train.weight_decay,
        epochs=train.epochs,
        batch_size=train.batch_size,
        seed=train.seed,
        environment=environment,
        checkpoint_seconds=checkpoint_seconds,
    )


def finish(progress: Progress, ended: processes.Ended) -> dict[str, Any]:
    """What the child told at its end. Raises AttemptFailed when it told of a failure, or nothing."""
    if progress.failed is not None:
        raise AttemptFailed(progress.failed.stage, progress.failed.reason, ended.log_tail)
    if ended.overran:
        raise AttemptFailed(facts.STAGE_TRAINING, f"the training {ended.overran}", ended.log_tail)
    if ended.exit_code != 0 or progress.finished is None:
        reason = f"the training process ended with {ended.exit_code} and told no reason"
        raise AttemptFailed(facts.STAGE_TRAINING, reason, ended.log_tail)
    return progress.finished
