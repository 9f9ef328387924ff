"""The attempts of this process, shared by the due rules, the running attempts and the gRPC server. Thread-safe."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import telemetry_pb2 as telemetry
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.worker.leases import Claim

MAX_ATTEMPTS_KEPT = 200
MAX_EPOCHS_KEPT = 10_000
MAX_CLAIMS = 10_000
MAX_ENDS_KEPT = 20
"""Attempts without a report whose last lines are kept. No fact names them, so the store would never forget them."""
LOG_ORDER = (facts.STAGE_PACKAGES, facts.STAGE_TESTS, facts.STAGE_TRAINING)
"""The stages that have logs, as they follow each other."""


@dataclass(slots=True)
class Attempt:
    claim: Claim
    started_at_ms: int
    deadline_ms: int = 0
    """When what it does now in its stage is ended at the latest; 0 where that has no limit."""
    stage: facts.Stage.ValueType = facts.STAGE_CHECKOUT
    running: bool = True
    cancelled: threading.Event = field(default_factory=threading.Event)
    epochs: list[telemetry.EpochMeasured] = field(default_factory=list)
    logs: list[tuple[facts.Stage.ValueType, Path]] = field(default_factory=list)
    ends: list[tuple[facts.Stage.ValueType, str]] = field(default_factory=list)
    """Of an attempt that ended without a report: what each of its stages printed last."""
    outcome: commands.Command | None = None


class Attempts:
    def __init__(self, on_epoch: Callable[[], None] = lambda: None) -> None:
        """`on_epoch` is called for each measured epoch."""
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
        """Tells the running attempts that this worker no longer holds to end."""
        with self._changed:
            for claim, attempt in self._attempts.items():
                if attempt.running and claim not in held:
                    attempt.cancelled.set()

    def close(self, grace_seconds: float) -> None:
        """Ends the running attempts, and each one that begins from now on; waits until none runs."""
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
        """The report of an attempt that has ended: it can be sent again without running the attempt again."""
        with self._changed:
            attempt = self._attempts.get(claim)
            return attempt.outcome if attempt else None

    def enter_stage(self, attempt: Attempt, stage: facts.Stage.ValueType) -> None:
        with self._changed:
            attempt.stage, attempt.deadline_ms = stage, 0
            self._changed.notify_all()

    def limit(self, attempt: Attempt, deadline_ms: int) -> None:
        """What the attempt does now ends then at the latest."""
        with self._changed:
            attempt.deadline_ms = deadline_ms

    def add_log(self, attempt: Attempt, stage: facts.Stage.ValueType, file: Path) -> None:
        with self._changed:
            if (stage, file) not in attempt.logs:
                attempt.logs.append((stage, file))
            attempt.logs.sort(key=lambda log: LOG_ORDER.index(log[0]))
            self._changed.notify_all()

    def keep_ends(self, attempt: Attempt, ends: list[tuple[facts.Stage.ValueType, str]]) -> None:
        """Keeps what the stages printed last. The newest MAX_ENDS_KEPT attempts are remembered."""
        with self._changed:
            attempt.ends = ends
            for old in [each for each in self._attempts.values() if each.ends][:-MAX_ENDS_KEPT]:
                old.ends = []

    def add_epoch(self, attempt: Attempt, epoch: telemetry.EpochMeasured) -> None:
        with self._changed:
            if len(attempt.epochs) < MAX_EPOCHS_KEPT:
                attempt.epochs.append(epoch)
            self._changed.notify_all()
        self._on_epoch()

    def end(self, attempt: Attempt, outcome: commands.Command | None) -> None:
        with self._changed:
            attempt.running, attempt.deadline_ms = False, 0
            attempt.outcome = outcome
            self._changed.notify_all()

    def listed(self) -> list[worker_services.TrainingAttempt]:
        with self._changed:
            return [_listed(attempt) for attempt in self._attempts.values()]

    def last_epochs(self) -> list[telemetry.EpochMeasured]:
        """The last measured epoch of each model; the model whose attempt began last comes first."""
        last: dict[str, telemetry.EpochMeasured] = {}
        with self._changed:
            for attempt in reversed(self._attempts.values()):
                if attempt.epochs:
                    last.setdefault(attempt.claim.stream, attempt.epochs[-1])
        return list(last.values())

    def logs_of(
        self, attempt: Attempt, known: int, wait_seconds: float
    ) -> tuple[list[tuple[facts.Stage.ValueType, Path]], bool]:
        """Where the stages of the attempt print, and whether it runs.

        Waits this long, or until the attempt ends, or until there are more logs than are known.
        """
        with self._changed:
            self._changed.wait_for(lambda: not attempt.running or len(attempt.logs) > known, wait_seconds)
            return list(attempt.logs), attempt.running

    def latest(self, stream: str, version: int) -> Attempt | None:
        with self._changed:
            found = [
                attempt
                for claim, attempt in self._attempts.items()
                if (claim.stream, claim.version) == (stream, version)
            ]
            return max(found, key=lambda attempt: attempt.claim.attempt, default=None)

    def follow_epochs(self, attempt: Attempt, wait_seconds: float) -> Iterator[telemetry.EpochMeasured | None]:
        """Each epoch as it is measured, and None when none came within the wait. Ends with the attempt."""
        seen = 0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(attempt.epochs) > seen or not attempt.running, wait_seconds)  # noqa: B023
                new, running = attempt.epochs[seen:], attempt.running
            seen += len(new)
            yield from new
            if not new and not running:
                return
            if not new:
                yield None


def _listed(attempt: Attempt) -> worker_services.TrainingAttempt:
    return worker_services.TrainingAttempt(
        model=attempt.claim.model,
        version=attempt.claim.version,
        attempt=attempt.claim.attempt,
        stage=attempt.stage,
        running=attempt.running,
        started_at_ms=attempt.started_at_ms,
        last_epoch=attempt.epochs[-1] if attempt.epochs else None,
        deadline_ms=attempt.deadline_ms,
    )
