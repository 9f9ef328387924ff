"""A story for the dashboards: live services with Prometheus, a first version, traffic, and a rollback.

It also causes what a healthy system does not show: an invalid upstream event, a command that a rule refuses, and an
attempt that fails.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from examples.driver import Facts, Repository, Running, Traffic, UnexpectedResult, read_rows
from headgate.log.open import open_log
from headgate.log.port import Message
from headgate.log.topics import INBOX
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from tests.house.tree import ROOT
from tests.prometheus_server import PrometheusServer

EXAMPLE = ROOT / "examples" / "breast_cancer"
MODEL = "breast-cancer"
REQUESTS_PER_SECOND = 60.0
STORY_SECONDS = 240.0
TICK_SECONDS = 0.2

# Too short for real traffic. The candidate stays at its weight until the judge finds that it fails.
POLICY = """
bake_seconds = 1
[judge]
pass_ceiling = 0.02
[[steps]]
weight_percent = 30
min_seconds = 300
min_keys = 20
"""


@dataclass(frozen=True, slots=True)
class Story:
    """The Prometheus that scraped the services, and the time of each part of the story."""

    folder: Path
    prometheus: PrometheusServer
    trace: str
    """The id of the trace of the commit that became the first version."""
    began: float
    moments: dict[str, float]
    """The end of each part of the story, by its name and in order."""

    @property
    def ended(self) -> float:
        return self.moments["candidate_is_rolled_back"]


@contextmanager
def run_story(folder: Path, program: str, settings: dict[str, str]) -> Iterator[Story]:
    """Runs the story, then yields while Prometheus and the services still run. Raises UnexpectedResult."""
    (folder / "policy.toml").write_text(POLICY)
    with (
        # With tokens something has happened when the services are ready: one was made, and the registry was asked.
        Running(folder, settings=settings, options=["--insecure"]) as running,
        PrometheusServer(program, running.metrics_ports(), running.tls()) as prometheus,
    ):
        began = time.time()
        stage = _Stage(folder, running, prometheus)
        moments = {}
        try:
            for part in PARTS:
                part(stage)
                moments[part.__name__] = time.time()
        finally:
            stage.close()
        yield Story(folder, prometheus, stage.trace, began, moments)


class _Stage:
    def __init__(self, folder: Path, running: Running, prometheus: PrometheusServer) -> None:
        self._running = running
        self._prometheus = prometheus
        self._repository = Repository(folder / "repository", EXAMPLE)
        self._facts = Facts(running.stubs, f"models/{MODEL}", lambda record: None)
        rows = read_rows(EXAMPLE / "data" / "breast_cancer.csv")
        self._traffic = Traffic(running.stubs, MODEL, rows, REQUESTS_PER_SECOND)
        self.trace = ""

    def close(self) -> None:
        self._traffic.stop()
        self._facts.close()

    def nothing_has_happened(self) -> None:
        services = len(self._running.metrics_ports())
        self._until_seen(f"count(count_over_time(headgate_ready[20s]) > 5) == {services}")

    def first_version_goes_live(self) -> None:
        self._running.command("environment", "set-policy", "production", "policy.toml")
        self.trace = self._publish("1-first")
        self._until_fact(lambda record: record.HasField("release_completed"), "the first version is live")
        self._until_seen('headgate_release_events_total{event="ReleaseCompleted"}')

    def model_is_called(self) -> None:
        self._traffic.start()
        self._running.command("model", "list")
        self._until_seen("headgate:predictions:rate1m > 0 and on (model) headgate:prediction_slow:ratio_rate5m >= 0")
        self._until_seen("headgate_view_reads_total > 0")

    def invalid_input_arrives(self) -> None:
        with closing(open_log(self._running.log_url())) as log:
            log.append(Message(INBOX, b"", b"no event at all", ()))
        nowhere = {"repository": str(self._running.folder / "nowhere"), "commit": "0" * 40}
        self._running.stubs.registry.CreateVersion(
            registry_service.CreateVersionRequest(parent=f"models/{MODEL}", **nowhere)
        )
        self._until_seen("headgate_failed_attempts_total")
        try:
            self._running.command("release", "pause", f"{MODEL}/1", "--reason", "too late")
        except UnexpectedResult:
            self._until_seen("headgate_dead_letters_total > 0")
            self._until_seen("headgate_refusals_total > 0")
            return
        raise UnexpectedResult("a release that has ended was paused")

    def candidate_meets_traffic(self) -> None:
        """Ends when Prometheus has data of both arms."""
        self._publish("4-blind-spot")
        self._until_fact(lambda record: record.weights_set.release == 2, "the candidate gets traffic")
        self._until_seen(
            'headgate:release_weight:drift and on (model) headgate:arm_errors:ratio_rate5m{arm="candidate"}'
            " and on (model) headgate_judge_e_value"
        )

    def candidate_is_rolled_back(self) -> None:
        self._until_fact(lambda record: record.HasField("release_rolled_back"), "the candidate is rolled back")
        for happened in (
            'headgate_release_events_total{event="ReleaseRolledBack"}',
            "headgate_time_to_restore_seconds_count > 0",
            'ALERTS{alertname="HeadgateReleaseRolledBack", alertstate="firing"}',
        ):
            self._until_seen(happened)

    def _publish(self, overlay: str) -> str:
        """Publishes a commit. Returns the id of its trace."""
        self._repository.commit(overlay)
        return str(json.loads(self._running.command("publish", "repository", "-o", "json"))["trace_id"])

    def _until_fact(self, found: Callable[[facts.LifecycleRecord], bool], what: str) -> None:
        self._facts.wait(found, what, STORY_SECONDS)

    def _until_seen(self, expr: str) -> None:
        """Returns once Prometheus answers with data. Raises UnexpectedResult."""
        deadline = time.monotonic() + STORY_SECONDS
        while time.monotonic() < deadline:
            if self._prometheus.at(expr, time.time()):
                return
            time.sleep(TICK_SECONDS)
        raise UnexpectedResult(f"Prometheus has no data for {expr}")


PARTS = (
    _Stage.nothing_has_happened,
    _Stage.first_version_goes_live,
    _Stage.model_is_called,
    _Stage.invalid_input_arrives,
    _Stage.candidate_meets_traffic,
    _Stage.candidate_is_rolled_back,
)
"""The parts of the story, in order."""
