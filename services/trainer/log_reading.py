"""The logs of a version as TrainerService sends them: those that the store keeps, then those of the latest attempt."""

from collections.abc import Collection, Iterator, Mapping

import grpc

from headgate.artifacts.store import ArtifactStore, StoreError
from headgate.domain.model import ModelState
from headgate.domain.names import in_words, model_stream, version_name
from headgate.domain.versions import is_purged
from headgate.lifecycle.follower import LifecycleFold
from headgate.runtime.errors import RpcRefused
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services
from services.trainer.attempt.logs import Growing
from services.trainer.attempts import Attempt, Attempts

POLL_SECONDS = 0.25
"""How often a log that is still written is read again."""
MAX_CHUNK_CHARACTERS = 256 * 1024
"""The most text in one message: below the 4 MiB that a gRPC client takes."""


class LogReading:
    def __init__(self, fold: LifecycleFold, store: ArtifactStore, attempts: Attempts) -> None:
        self._fold = fold
        self._store = store
        self._attempts = attempts

    def read(self, model: str, number: int, follow: bool) -> Iterator[worker_services.WatchLogsResponse | None]:
        """The logs in parts, and None when nothing came for POLL_SECONDS. Raises RpcRefused."""
        version = self._version(model, number)
        latest = self._attempts.latest(model_stream(model), number)
        running = latest if latest is not None and latest.running else None
        for log in version.logs:
            if running is None or log.attempt != running.claim.attempt:
                yield from self._kept(version.name, log)
        if running is not None:
            yield from self._growing(running, follow)
        elif latest is not None:
            yield from _ends(latest, {log.stage for log in version.logs if log.attempt == latest.claim.attempt})

    def _version(self, model: str, number: int) -> resources.Version:
        with self._fold.lock:
            version = version_in(self._fold.models, model, number)
            if version is None:
                raise RpcRefused(
                    grpc.StatusCode.NOT_FOUND, "not-found", f"there is no {version_name(model, number)}", "name"
                )
            if is_purged(version):
                rule = f"{in_words(version.name)} is purged, and its logs were deleted with its artifact"
                raise RpcRefused(grpc.StatusCode.NOT_FOUND, "not-found", rule, "name")
            copy = resources.Version()
            copy.CopyFrom(version)
            return copy

    def _kept(self, version: str, log: facts.StageLog) -> Iterator[worker_services.WatchLogsResponse]:
        try:
            text = self._store.get(log.sha256).decode(errors="replace") if log.sha256 else ""
        except StoreError as error:
            rule = f"a log of {version} cannot be read from the artifact store: {error}"
            raise RpcRefused(grpc.StatusCode.UNAVAILABLE, "unavailable", rule) from error
        for begin in range(0, len(text), MAX_CHUNK_CHARACTERS):
            part = text[begin : begin + MAX_CHUNK_CHARACTERS]
            yield worker_services.WatchLogsResponse(attempt=log.attempt, stage=log.stage, text=part)

    def _growing(self, attempt: Attempt, follow: bool) -> Iterator[worker_services.WatchLogsResponse | None]:
        readers: dict[facts.Stage.ValueType, Growing] = {}
        runs = True
        try:
            while runs:
                logs, runs = self._attempts.logs_of(attempt, len(readers), POLL_SECONDS if follow else 0.0)
                runs = runs and follow
                for stage, file in logs:
                    reader = readers.setdefault(stage, Growing(file))
                    for text in reader.new_text(to_the_end=not runs):
                        yield worker_services.WatchLogsResponse(attempt=attempt.claim.attempt, stage=stage, text=text)
                yield None
        finally:
            for reader in readers.values():
                reader.close()


def _ends(attempt: Attempt, kept: Collection[facts.Stage.ValueType]) -> Iterator[worker_services.WatchLogsResponse]:
    """What an attempt without a report printed last, of the stages whose log no fact names."""
    for stage, text in attempt.ends:
        if text and stage not in kept:
            yield worker_services.WatchLogsResponse(attempt=attempt.claim.attempt, stage=stage, text=text)


def version_in(models: Mapping[str, ModelState], model: str, number: int) -> resources.Version | None:
    state = models.get(model)
    return state.versions.get(number) if state is not None else None
