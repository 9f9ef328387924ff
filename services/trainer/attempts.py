"""The attempts of this process: what the due rules, the work and the gRPC door have to share. Thread-safe."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import telemetry_pb2 as telemetry
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.worker.leases import Claim

MAX_ATTEMPTS_KEPT = 200
MAX_EPOCHS_KEPT = 10_000
MAX_CLAIMS = 10_000


@dataclass(slots=True)
class Attempt:
    claim: Claim
    started_at_ms: int
    stage: facts.Stage.ValueType = facts.STAGE_CHECKOUT
    running: bool = True
    cancelled: threading.Event = field(default_factory=threading.Event)
    epochs: list[telemetry.EpochMeasured] = field(default_factory=list)
    outcome: commands.Command | None = None


class Attempts:
    def __init__(self, on_epoch: Callable[[], None] = lambda: None) -> None:
        """`on_epoch` is called for each epoch measured."""
        self._on_epoch = on_epoch
        self._changed = threading.Condition()
        self._claimed: dict[Claim, None] = {}
        self._attempts: dict[Claim, Attempt] = {}
        self._closed = False

    def claim(self, claim: Claim) -> None:
        with self._changed:
            self._claimed[claim] = None
            if len(self._claimed) > MAX_CLAIMS:
                del self._claimed[next(iter(self._claimed))]

    def claimed(self) -> frozenset[Claim]:
        with self._changed:
            return frozenset(self._claimed)

    def running(self) -> frozenset[Claim]:
        with self._changed:
            return frozenset(claim for claim, attempt in self._attempts.items() if attempt.running)

    def cancel_except(self, held: frozenset[Claim]) -> None:
        """Ends the running attempts that this worker no longer holds."""
        with self._changed:
            for claim, attempt in self._attempts.items():
                if attempt.running and claim not in held:
                    attempt.cancelled.set()

    def close(self, grace_seconds: float) -> None:
        """Ends the running attempts and those that begin from now on; waits for their ends."""
        self.cancel_except(frozenset())
        with self._changed:
            self._closed = True
            self._changed.wait_for(lambda: not any(a.running for a in self._attempts.values()), grace_seconds)

    def begin(self, claim: Claim, now_ms: int) -> Attempt:
        with self._changed:
            for old in list(self._attempts)[: max(0, len(self._attempts) - MAX_ATTEMPTS_KEPT)]:
                del self._attempts[old]
            attempt = self._attempts[claim] = Attempt(claim, now_ms)
            if self._closed:
                attempt.cancelled.set()
            self._changed.notify_all()
            return attempt

    def outcome(self, claim: Claim) -> commands.Command | None:
        """The report of an attempt that has ended: said again rather than worked out again."""
        with self._changed:
            attempt = self._attempts.get(claim)
            return attempt.outcome if attempt else None

    def enter(self, attempt: Attempt, stage: facts.Stage.ValueType) -> None:
        with self._changed:
            attempt.stage = stage
            self._changed.notify_all()

    def measured(self, attempt: Attempt, epoch: telemetry.EpochMeasured) -> None:
        with self._changed:
            if len(attempt.epochs) < MAX_EPOCHS_KEPT:
                attempt.epochs.append(epoch)
            self._changed.notify_all()
        self._on_epoch()

    def end(self, attempt: Attempt, outcome: commands.Command | None) -> None:
        with self._changed:
            attempt.running = False
            attempt.outcome = outcome
            self._changed.notify_all()

    def listed(self) -> list[worker_services.TrainingAttempt]:
        with self._changed:
            return [
                worker_services.TrainingAttempt(
                    model=attempt.claim.model,
                    version=attempt.claim.version,
                    attempt=attempt.claim.attempt,
                    stage=attempt.stage,
                    running=attempt.running,
                    started_at_ms=attempt.started_at_ms,
                )
                for attempt in self._attempts.values()
            ]

    def last_epochs(self) -> list[telemetry.EpochMeasured]:
        """The last epoch measured of each model, the latest begun first."""
        with self._changed:
            last = {attempt.claim.stream: attempt.epochs[-1] for attempt in self._attempts.values() if attempt.epochs}
        return list(reversed(last.values()))

    def latest(self, stream: str, version: int) -> Attempt | None:
        with self._changed:
            found = [
                attempt
                for claim, attempt in self._attempts.items()
                if (claim.stream, claim.version) == (stream, version)
            ]
            return max(found, key=lambda attempt: attempt.claim.attempt, default=None)

    def epochs(self, attempt: Attempt, wait_seconds: float) -> Iterator[telemetry.EpochMeasured | None]:
        """Each epoch as it is measured, None when nothing came within the wait; ends with the attempt."""
        told = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(attempt.epochs) > told or not attempt.running, wait_seconds)  # noqa: B023
                new, running = attempt.epochs[told:], attempt.running
            told += len(new)
            yield from new
            if not new and not running:
                return
            if not new:
                yield None
