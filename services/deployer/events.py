"""Counts the facts of releases while the deployer runs, and measures lead time and time to restore."""

from headgate.domain.fact import ReleaseFact, fact_of
from headgate.domain.names import split_stream
from headgate.domain.state import ModelState
from headgate.lifecycle.follower import LifecycleFold
from headgate.log.port import Record
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

MS_PER_SECOND = 1000.0
VERDICTS = {facts.VERDICT_PASS: "pass", facts.VERDICT_FAIL: "fail", facts.VERDICT_INCONCLUSIVE: "inconclusive"}
Judged = facts.WeightsSet | facts.PromotionStarted | facts.ReleaseCompleted | facts.RollbackStarted


class ReleaseEvents:
    def __init__(self, metrics: Metrics, fold: LifecycleFold) -> None:
        self._fold = fold
        self._events = metrics.counter("headgate_release_events_total")
        self._verdicts = metrics.counter("headgate_judge_verdicts_total")
        self._lead_time = metrics.histogram("headgate_lead_time_seconds").labels()
        self._time_to_restore = metrics.histogram("headgate_time_to_restore_seconds").labels()
        self._rolling_back_since_ms: dict[tuple[str, int], int] = {}

    def listen(self) -> None:
        """Counts every fact from now on. Call it when the fold has caught up, or old facts would be counted again."""
        with self._fold.lock:
            for state in self._fold.models.values():
                for release in state.releases.values():
                    if release.phase == resources.PHASE_ROLLING_BACK:
                        self._rolling_back_since_ms[state.name, release.release] = release.phase_since_ms
            self._fold.on_accepted(self._accepted)

    def _accepted(self, record: Record, lifecycle: facts.LifecycleRecord) -> None:
        fact = fact_of(lifecycle)
        state = self._fold.models.get(split_stream(lifecycle.stream)[1])
        if state is None or not isinstance(fact, ReleaseFact):
            return
        release = state.releases.get(fact.release)
        if release is None:
            return
        self._events.labels(release.environment, state.name, type(fact).__name__, has_priority=True).inc()
        if isinstance(fact, Judged) and fact.judgement.verdict in VERDICTS:
            self._verdicts.labels(release.environment, VERDICTS[fact.judgement.verdict]).inc()
        self._time(state, release, fact, lifecycle.occurred_at_ms)

    def _time(self, state: ModelState, release: resources.Release, fact: ReleaseFact, at_ms: int) -> None:
        key = (state.name, release.release)
        match fact:
            case facts.ReleaseCompleted() if not release.undo_of:
                waited_ms = at_ms - state.versions[release.candidate].create_time_ms
                self._lead_time.observe(max(0, waited_ms) / MS_PER_SECOND)
            case facts.RollbackStarted():
                self._rolling_back_since_ms[key] = at_ms
            case facts.ReleaseRolledBack():
                since_ms = self._rolling_back_since_ms.pop(key, at_ms)
                self._time_to_restore.observe(max(0, at_ms - since_ms) / MS_PER_SECOND)
            case _:
                pass
