"""Runs one attempt at one version: checkout, configuration, data, packages, tests, training, export, artifact, report.

Foreign code runs in child processes only. Whatever it does, the attempt ends with a report or with the trainer.
"""

import logging
import shlex
import shutil
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from headgate.artifacts.layout import BUILT_FILES, EXPORTED_FILES, OPTIONAL_FILES, PROVENANCE_FILE
from headgate.artifacts.manifest import store_files
from headgate.artifacts.store import MAX_FILE_BYTES
from headgate.configuration import ONNX
from headgate.domain.updated_data import with_updates
from headgate.jail.decision import InJail, NotRun, decide
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from headgate.worker.leases import Claim, heartbeat
from services.trainer.attempt.checkout import check_out, read_configuration
from services.trainer.attempt.checkpoints import (
    Origin,
    find_checkpoint,
    fingerprint,
    remove_checkpoint,
    store_checkpoint,
)
from services.trainer.attempt.data_files import verified_data
from services.trainer.attempt.environment import training_environment
from services.trainer.attempt.failure import AttemptFailed
from services.trainer.attempt.imported import fetch_upload
from services.trainer.attempt.logs import FILES, end_of_log, keep_log
from services.trainer.attempt.new_job import job_of
from services.trainer.attempt.progress import Progress
from services.trainer.attempt.provenance import provenance
from services.trainer.attempt.remote_data import RemoteFiles
from services.trainer.attempt.scratch import scratch_directory
from services.trainer.attempt.tools import AttemptTools, deadline_of
from services.trainer.attempts import Attempt
from services.trainer.due import WORK, attempt_command
from services.trainer.job import ARTIFACT_DIRECTORY, CHECKPOINT, OWN_PATHS, PROGRESS, RESUME, START_LINE, write_job
from services.trainer.packages.base import base_set
from services.trainer.packages.imports import imported_packages
from services.trainer.packages.lock import Lock, WrongLock
from services.trainer.packages.locked import check_lock, find_lock, require_all
from services.trainer.programs import processes
from services.trainer.programs.foreign_files import read_foreign, write_new
from services.trainer.programs.interpreter import TrainerPackages, link_packages, own_paths
from services.trainer.programs.jailed import Jailing
from services.trainer.programs.launch import SIGNALLED
from services.trainer.programs.processes import LOG_TAIL_BYTES, Stopped, end_of
from services.trainer.programs.trees import remove_tree
from services.trainer.programs.workplace import Surroundings, workplace

MAX_REASON = 4096
MAX_PLOT_BYTES = 4 << 20

logger = logging.getLogger(__name__)


def run_attempt(tools: AttemptTools, claim: Claim, version: resources.Version) -> commands.Command | None:
    """The report of the attempt; None when the trainer stops, or when it no longer holds the attempt.

    An attempt that has already ended is not run again: its report is returned once more.
    """
    if known := tools.attempts.outcome(claim):
        return known
    attempt = tools.attempts.begin(claim, tools.log_time_ms())
    outcome = None
    try:
        with scratch_directory(tools.scratch) as scratch, heartbeat(tools.telemetry, claim, WORK):
            try:
                outcome = AttemptRun(tools, attempt, version, scratch).report()
            except Stopped:
                tools.attempts.keep_ends(attempt, [(stage, end_of_log(file)) for stage, file in attempt.logs])
                raise
    except Stopped:
        logger.info("attempt stopped without a report", extra={"attempt": claim.name})
    finally:
        tools.attempts.end(attempt, outcome)
    return outcome


class AttemptRun:
    """The stages of one attempt. The training process starts first, because it takes long to import torch."""

    def __init__(self, tools: AttemptTools, attempt: Attempt, version: resources.Version, scratch: Path) -> None:
        self.tools = tools
        self.attempt = attempt
        self.claim = attempt.claim
        self.version = version
        self.name = attempt.claim.version_name
        self.scratch = scratch
        self.lock: Lock | None = None
        self.upload = version.upload if version.HasField("upload") else None
        self.environment = training_environment()
        self.remote = RemoteFiles(tools.data, scratch / "data", attempt.cancelled, self._limit)
        self.jailing: Jailing | None = None
        self.job = scratch / "job"
        self.checkouts = scratch / "checkout"
        # A folder of its own: the commit chooses the name below it, and nothing of the trainer may meet there.
        self.tested = scratch / "tests" / "checkout"

    def report(self) -> commands.Command:
        """Runs the stages. Raises Stopped."""
        decision = decide(self.version.repository, self.tools.jail_settings, self.tools.jail.problem())
        if isinstance(decision, NotRun):
            return self._failed(AttemptFailed(facts.STAGE_CHECKOUT, decision.reason))
        if isinstance(decision, InJail):
            self.jailing = Jailing(self.tools.jail, self.tools.jail_settings.limits, decision.has_network)
        self._start_training_process(link_packages(self.scratch / "packages"))
        with ExitStack() as self.used:
            try:
                return self._run_stages()
            finally:
                self.child.end()
                self.remote.close()

    def _start_training_process(self, packages: TrainerPackages, data: Iterable[Path] = ()) -> None:
        """`data` are files and folders of the trainer's machine that the training reads."""
        self.packages = packages
        for folder in (self.checkouts, self.job):
            folder.mkdir(exist_ok=True)
        around = self._around(writable=(self.checkouts, self.job), data=data)
        self.training = training = workplace(self.scratch / "training", packages, around)
        training.give(training.directory, self.job)
        self.child = processes.Program(
            [*(self.tools.child if self.upload is None else self.tools.importing), str(self.job)],
            self.scratch,
            training.environment | {OWN_PATHS: own_paths()},
            self._log_file(facts.STAGE_TRAINING),
            training.confinement,
        )

    def _run_stages(self) -> commands.Command:
        try:
            checkout, parsed, data = self._fetch()
            is_to_test = not self.version.HasField("configuration")
            if is_to_test and self.upload is None:
                # The tests get a copy, because files that they write must not reach the training.
                shutil.copytree(checkout, self.tested / checkout.name, symlinks=True)
            self.training.give(self.checkouts)
            self._install_packages(checkout, parsed)
            self._show_outside(checkout, data)
            if is_to_test:
                tested = self._test(checkout, parsed)
                if not tested.report_code_tested.fact.passed:
                    return tested
                self.tools.report(tested)
            if self.version.build == resources.BUILD_STATE_TESTING:
                started = facts.TrainingStarted(**self._numbers(), environment=self.environment)
                report = commands.ReportTrainingStarted(fact=started)
                self.tools.report(self._command("training", report_training_started=report))
            finished = self._train(checkout, parsed, data)
        except AttemptFailed as failure:
            remove_checkpoint(self.tools.store, self.name)
            return self._failed(failure)
        remove_checkpoint(self.tools.store, self.name)
        report_finished = commands.ReportTrainingFinished(fact=finished)
        return self._command("finished", report_training_finished=report_finished)

    def _fetch(self) -> tuple[Path, configuration.ModelConfiguration, dict[str, Path]]:
        if self.upload is not None:
            return fetch_upload(self.tools.store, self.upload, self.scratch)
        repository, commit = self.version.repository, self.version.commit
        checkout = check_out(repository, commit, self.scratch, self.tools.git, self.attempt.cancelled, self._limit)
        self.tools.attempts.enter_stage(self.attempt, facts.STAGE_CONFIGURATION)
        parsed = with_updates(read_configuration(checkout, self.claim.model), self.version.updated_data)
        self.tools.attempts.enter_stage(self.attempt, facts.STAGE_DATA)
        return checkout, parsed, verified_data(checkout, parsed, self.remote, repository, self.tools.hidden)

    def _install_packages(self, checkout: Path, parsed: configuration.ModelConfiguration) -> None:
        """Puts the packages of the commit's lock before those of the trainer, if it has a lock."""
        self.tools.attempts.enter_stage(self.attempt, facts.STAGE_PACKAGES)
        imported = imported_packages(checkout, parsed.code.module)
        try:
            self.lock = find_lock(checkout, self.scratch / "uv", self.attempt.cancelled)
            if self.lock is not None:
                check_lock(self.lock, base_set(), imported)
                self._use(self.lock)
            require_all(imported, self.packages.views, self.lock)
        except WrongLock as wrong:
            raise AttemptFailed(facts.STAGE_PACKAGES, str(wrong)) from wrong

    def _use(self, lock: Lock) -> None:
        """Starts the training process again: the first one has imported the trainer's packages already."""
        self._end_training_process()
        log = self._log_file(facts.STAGE_PACKAGES)
        installing = self.tools.packages.installed(lock, log, self.attempt.cancelled, self._limit)
        installed = self.used.enter_context(installing)
        self.environment = training_environment(lock)
        self._start_training_process(link_packages(self.scratch / "locked-packages", installed))

    def _end_training_process(self) -> None:
        self.child.end()
        for folder in (self.scratch / "training", self.job):
            remove_tree(folder)

    def _show_outside(self, checkout: Path, data: Mapping[str, Path]) -> None:
        """Starts the training process again when its jail has to show data of the trainer's machine."""
        own = (checkout.resolve(), self.remote.folder.resolve())
        outside = [path for path in data.values() if not any(path.is_relative_to(folder) for folder in own)]
        if outside and self.jailing is not None:
            self._end_training_process()
            self._start_training_process(self.packages, outside)

    def _around(self, writable: tuple[Path, ...] = (), data: Iterable[Path] = ()) -> Surroundings:
        kept = (self.remote.folder, *(data if self.jailing is not None else (self.remote.cache,)))
        return Surroundings(kept, writable, self.tools.hidden, self.jailing)

    def _test(self, checkout: Path, parsed: configuration.ModelConfiguration) -> commands.Command:
        """The report of the repository's own tests at the commit. An imported version has none, so it passes."""
        if self.upload is not None:
            fact = facts.CodeTested(**self._numbers(), passed=True, configuration=parsed)
            return self._command("tested", report_code_tested=commands.ReportCodeTested(fact=fact))
        self.tools.attempts.enter_stage(self.attempt, facts.STAGE_TESTS)
        # pytest searches the parent directories for settings. It finds this empty file first, and looks no further.
        settings = self.scratch / "pytest.ini"
        settings.write_text("[pytest]\n")
        place = workplace(self.scratch / "tests", self.packages, self._around(data=[settings]))
        place.give()
        self._limit(self.tools.limits.tests_seconds)
        tests = processes.run(
            shlex.split(parsed.code.tests),
            self.tested / checkout.name,
            place.environment,
            self._log_file(facts.STAGE_TESTS),
            self.tools.limits.tests_seconds,
            self.attempt.cancelled,
            place.confinement,
        )
        fact = facts.CodeTested(
            **self._numbers(),
            passed=tests.exit_code == 0 and not tests.limit_broken,
            exit_code=tests.exit_code,
            duration_ms=tests.duration_ms,
            log_tail=tests.log_tail,
            configuration=parsed,
            log=self._log(facts.STAGE_TESTS),
            packages_log=self._log(facts.STAGE_PACKAGES),
            reason=why_tests_failed(tests),
        )
        return self._command("tested", report_code_tested=commands.ReportCodeTested(fact=fact))

    def _train(
        self, checkout: Path, parsed: configuration.ModelConfiguration, data: dict[str, Path]
    ) -> facts.TrainingFinished:
        self.tools.attempts.enter_stage(self.attempt, facts.STAGE_TRAINING)
        directory = self.job
        write_job(directory, job_of(checkout, parsed, data, self.environment, self.tools.limits, self.upload))
        origin = Origin(self.name, fingerprint(self.version.commit, parsed.digest, self.environment))
        found = find_checkpoint(self.tools.store, self.tools.checkpoint_key, origin)
        if found is not None:
            write_new(directory / RESUME, found.state)
        progress = self._progress(directory, parsed, origin)
        self.child.close_input(START_LINE)
        limits = self.tools.limits
        limit_seconds = limits.training_seconds if self.upload is None else limits.import_seconds
        self._limit(limit_seconds)
        training = self.child.wait(limit_seconds, self.attempt.cancelled, progress.broken_limit)
        progress.read()
        finished = result_of(progress, training, "training" if self.upload is None else "import")
        self.tools.attempts.enter_stage(self.attempt, facts.STAGE_EXPORT)
        resumed = finished["resumed_from"] > 0 and found is not None
        return facts.TrainingFinished(
            **self._numbers(),
            artifact=self._stored(directory / ARTIFACT_DIRECTORY, parsed),
            epochs=finished["epochs"]["epoch"],
            train_loss=finished["epochs"]["train_loss"],
            validation_loss=finished["epochs"]["validation_loss"],
            duration_ms=training.duration_ms,
            export_difference=finished["export_difference"],
            resumed_from_epoch=finished["resumed_from"] if resumed else 0,
            resumed_from_attempt=found.attempt if resumed and found else 0,
            log=self._log(facts.STAGE_TRAINING),
        )

    def _stored(self, directory: Path, parsed: configuration.ModelConfiguration) -> facts.Artifact:
        needed = BUILT_FILES if parsed.code.kind == ONNX else EXPORTED_FILES
        files = files_left(directory, needed, MAX_FILE_BYTES)
        if missing := next((name for name in needed if name not in files), None):
            raise AttemptFailed(facts.STAGE_EXPORT, f"{missing} is missing or larger than {MAX_FILE_BYTES} bytes")
        files |= files_left(directory, OPTIONAL_FILES, MAX_PLOT_BYTES)
        version = self.version
        files[PROVENANCE_FILE] = provenance(
            files, version.repository, version.commit, parsed, self.environment, self.lock, self.upload
        )
        return store_files(self.tools.store, files)

    def _progress(self, directory: Path, parsed: configuration.ModelConfiguration, origin: Origin) -> Progress:
        def on_checkpoint(epoch: int) -> None:
            file = directory / CHECKPOINT
            store_checkpoint(self.tools.store, self.tools.checkpoint_key, origin, self.claim.attempt, epoch, file)

        # Code that builds its ONNX file itself reports no epochs.
        limits = self.tools.limits
        idle_seconds = limits.training_seconds if parsed.code.kind == ONNX else limits.epoch_seconds
        return Progress(directory / PROGRESS, idle_seconds, self._on_epoch_of(parsed.train.epochs), on_checkpoint)

    def _on_epoch_of(self, epochs: int) -> Callable[[dict[str, Any]], None]:
        """What is done with each measured epoch of a training that has `epochs`."""

        def on_epoch(line: dict[str, Any]) -> None:
            epoch = telemetry.EpochMeasured(
                model=self.claim.model,
                **self._numbers(),
                epoch=line["epoch"],
                epochs=epochs,
                train_loss=line["train_loss"],
                validation_loss=line["validation_loss"],
                duration_ms=line.get("duration_ms", 0),
            )
            self.tools.attempts.add_epoch(self.attempt, epoch)
            self.tools.send_measurement(self.claim, epoch_measured=epoch)

        return on_epoch

    def _failed(self, failure: AttemptFailed) -> commands.Command:
        fact = facts.TrainingFailed(
            **self._numbers(),
            stage=failure.stage,
            reason=failure.reason[:MAX_REASON],
            log_tail=failure.log_tail[-LOG_TAIL_BYTES:],
            log=self._log(failure.stage),
        )
        return self._command("failed", report_training_failed=commands.ReportTrainingFailed(fact=fact))

    def _log_file(self, stage: facts.Stage.ValueType) -> Path:
        """Where the stage prints from now on; readers of the attempt's logs know it too."""
        file = self.scratch / FILES[stage]
        self.tools.attempts.add_log(self.attempt, stage, file)
        return file

    def _log(self, stage: facts.Stage.ValueType) -> facts.StageLog | None:
        return keep_log(self.tools.store, self.scratch, self.claim.attempt, stage)

    def _limit(self, seconds: float) -> None:
        """Shows when what begins now is ended at the latest."""
        self.tools.attempts.limit(self.attempt, deadline_of(self.tools.log_time_ms(), seconds))

    def _numbers(self) -> dict[str, Any]:
        return {"version": self.claim.version, "attempt": self.claim.attempt}

    def _command(self, what: str, **command: object) -> commands.Command:
        return attempt_command(self.claim, what, self.version, self.tools.worker, **command)


def files_left(directory: Path, names: Iterable[str], max_bytes: int) -> dict[str, bytes]:
    """Those of these files that the training process has written. A link or a file that is too large is left out."""
    if directory.is_symlink():
        return {}
    found = {name: read_foreign(directory / name, max_bytes) for name in names}
    return {name: content for name, content in found.items() if content is not None}


def why_tests_failed(tests: processes.Exit) -> str:
    """The reason that the exit code of the tests does not give: a limit or a signal; empty without one."""
    if tests.limit_broken:
        return f"the tests {tests.limit_broken}"
    return f"the process of the tests {end_of(tests.exit_code)}" if tests.exit_code > SIGNALLED else ""


def result_of(progress: Progress, training: processes.Exit, what: str = "training") -> dict[str, Any]:
    """What the training process reported in its last line. Raises AttemptFailed when it failed or reported nothing."""
    if progress.failed is not None:
        raise AttemptFailed(progress.failed.stage, progress.failed.reason, training.log_tail)
    if training.limit_broken:
        raise AttemptFailed(facts.STAGE_TRAINING, f"the {what} {training.limit_broken}", training.log_tail)
    if training.exit_code != 0 or progress.finished is None:
        raise AttemptFailed(facts.STAGE_TRAINING, f"the {what} process {end_of(training.exit_code)}", training.log_tail)
    return progress.finished
