"""Puts the trainer together; the only place that does."""

import logging
from collections.abc import Iterable
from pathlib import Path

import grpc

from headgate.artifacts.checkpoint_keys import load_checkpoint_key
from headgate.artifacts.encryption.open import key_path_of
from headgate.artifacts.file_urls import path_of
from headgate.downloads.cache import Cache
from headgate.downloads.places import places_of
from headgate.downloads.web import Web
from headgate.jail.bubblewrap import Bubblewrap
from headgate.jail.decision import TRUSTED_SETTING, JailSettings
from headgate.jail.port import Jail
from headgate.lifecycle.artifact_setting import artifact_store
from headgate.log import topics
from headgate.log.open import private_files
from headgate.runtime.deadline import Deadline
from headgate.runtime.observability.metric import TRAINER
from headgate.telemetry.topic import TelemetryReader
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from headgate.worker.isolation import Undecidable
from headgate.worker.leases import Claim, Heartbeats
from headgate.worker.loop import DueWork, Issue, Worker
from headgate.worker.parts import WorkerParts
from services.trainer import due
from services.trainer.artifact_servicer import ArtifactServicer
from services.trainer.attempt.checkout import GitAccess
from services.trainer.attempt.remote_data import CACHE_FOLDER, DataAccess
from services.trainer.attempt.scratch import clear_left_behind, clear_older_folders, scratch_of
from services.trainer.attempt.tools import AttemptTools, Limits
from services.trainer.attempt.work import run_attempt
from services.trainer.attempts import Attempts
from services.trainer.bytecode import Bytecode
from services.trainer.due import LEASE_MS, WORK, WorkerState
from services.trainer.log_reading import LogReading
from services.trainer.programs.confinement import LEAST_VERSION, can_confine, landlock_version
from services.trainer.purging import Purging
from services.trainer.service_metrics import TrainerMetrics
from services.trainer.servicer import TrainerServicer
from services.trainer.settings import Settings
from services.trainer.uploads import Uploads

logger = logging.getLogger(__name__)

SHARE_TO_FINISH = 0.5
"""Of the grace, for the running attempt to end by itself. Then it is stopped, and another worker takes it over."""
SHARE_TO_STOP = 0.7
SHARE_OF_CALLS = 0.3
SHARE_OF_DELETION = 0.3
SERVICES = [
    worker_services.DESCRIPTOR.services_by_name[name].full_name for name in ("TrainerService", "ArtifactService")
]


def build(settings: Settings) -> "Trainer":
    """A trainer that has not started yet."""
    return Trainer(settings)


def data_access(settings: Settings) -> DataAccess:
    """Where data files may come from."""
    cache = Cache(Path(settings.work) / CACHE_FOLDER, settings.data_cache_bytes)
    return DataAccess(cache, Web(places_of(settings.data_places), settings.git_credentials), settings.data_seconds)


class Trainer:
    def __init__(self, settings: Settings) -> None:
        artifacts = artifact_store(settings)
        self._data = data_access(settings)
        self._parts = parts = WorkerParts(TRAINER, settings)
        self.name, self.grace_seconds = parts.name, parts.grace_seconds
        self._fold, log, metrics = parts.fold, parts.log, parts.metrics
        self._attempts = Attempts(metrics.counter("headgate_training_epochs_total").labels().inc)
        self._metrics = TrainerMetrics(metrics, self._attempts.last_epochs)
        self._worker = Worker(log, self._fold, self._due, settings.name, metrics, log_time_ms=parts.clock.now_ms)
        self._heartbeats = Heartbeats(WORK)
        self._reader = TelemetryReader(log, self._heartbeats.observe, metrics, on_gap=self._heartbeats.missed)
        self._tools = AttemptTools(
            worker=settings.name,
            store=artifacts,
            checkpoint_key=load_checkpoint_key(settings.keys),
            telemetry=parts.telemetry,
            attempts=self._attempts,
            report=self._worker.report,
            log_time_ms=parts.clock.now_ms,
            scratch=scratch_of(Path(settings.work), settings.name),
            limits=Limits(
                settings.tests_seconds, settings.training_seconds, settings.epoch_seconds, settings.checkpoint_seconds
            ),
            data=self._data,
            packages=settings.packages(),
            git=GitAccess(settings.git_credentials, settings.git_ssh_command),
            jail=Bubblewrap(),
            jail_settings=settings.jail(),
            hidden=hidden(settings),
        )
        self._bytecode = Bytecode()
        self._purging = Purging(self._tools.store, self._fold, metrics, parts.clock)
        parts.watch_lag("trainer", topics.TELEMETRY, self._reader.positions)
        self._server = parts.serve(self._register, SERVICES)

    def start(self) -> int:
        """Opens the port, folds the log, and then begins to work; returns the port."""
        port = self._parts.open()
        self._reader.start(self._parts.clock.now_ms() - LEASE_MS)
        clear_left_behind(self._tools.scratch)
        clear_older_folders(self._tools.scratch.parent)
        self._data.cache.prepare()
        _warn_unless_jailed(self._tools.jail, self._tools.jail_settings)
        self._bytecode.start()
        self._worker.start()
        self._purging.start()
        self._parts.ready(self._reader, self._worker, self._purging)
        return port

    def stop(self, grace_seconds: float) -> None:
        """Lets the running attempt end, or stops it so that another worker takes it over, and leaves the log."""
        deadline = Deadline(grace_seconds)
        self._parts.drain()
        self._reader.stop_soon()
        self._purging.stop_soon()
        if not self._worker.stop(deadline.left(SHARE_TO_FINISH)):
            self._attempts.close(deadline.left(SHARE_TO_STOP))
        self._bytecode.close()
        self._server.stop(deadline.left(SHARE_OF_CALLS))
        self._purging.stop(deadline.left(SHARE_OF_DELETION))
        self._reader.close()
        self._parts.close(deadline)

    def _due(self, at_ms: int) -> Iterable[Issue | DueWork | Undecidable]:
        """Runs under the fold's lock. Remembers its claims, because a restarted process has none."""
        worker = WorkerState(self.name, self._attempts.claimed(), self._attempts.running())
        self._attempts.cancel_except(frozenset(due.held(self._fold.models, worker)))
        for piece in due.due(self._fold.models, worker, self._heartbeats.liveness(), at_ms, self._run):
            if isinstance(piece, Issue) and piece.command.HasField("start_testing"):
                start = piece.command.start_testing
                self._attempts.claim(Claim(piece.command.stream, start.version, start.attempt))
            yield piece

    def _run(self, claim: Claim, version: resources.Version) -> commands.Command | None:
        with self._metrics.attempt() as outcome:
            report = run_attempt(self._tools, claim, version)
            outcome.set_from(report)
            return report

    def _register(self, server: grpc.Server) -> None:
        servicer = TrainerServicer(self._attempts, LogReading(self._fold, self._tools.store, self._attempts))
        worker_services_grpc.add_TrainerServiceServicer_to_server(servicer, server)
        uploads = Uploads(self._tools.store, self._tools.scratch / "uploads", self._data)
        worker_services_grpc.add_ArtifactServiceServicer_to_server(ArtifactServicer(uploads, self._fold), server)


def hidden(settings: Settings) -> tuple[Path, ...]:
    """What the code of commits cannot read: secrets, and the log and the artifacts of all models."""
    encryption = (key_path_of(settings.encryption_key), settings.encryption_token)
    services = (settings.git_credentials, settings.tls_key, settings.authentication_first_token)
    secret = (settings.keys, *services, *encryption)
    store = [path_of(settings.artifacts)] if settings.artifacts.startswith("file:") else []
    return (*(Path(path) for path in secret if path), *private_files(settings.log), *store)


def _warn_unless_jailed(jail: Jail, allowed: JailSettings) -> None:
    if problem := jail.problem():
        rule = f"only the code that {TRUSTED_SETTING} lists is run"
        if not allowed.trusted:
            rule = f"every commit is refused until {TRUSTED_SETTING} lists its repository"
        logger.warning("no jail: %s", rule, extra={"problem": problem})
        if can_confine():
            return
        what = {"landlock_version": landlock_version(), "needed": LEAST_VERSION}
        logger.warning("no Landlock: the code of a commit can change the packages and read the keys", extra=what)
