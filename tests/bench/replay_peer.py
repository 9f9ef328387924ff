"""The peer of the replay: rebuilds aggregates of eventsourcing from its SQLite repository. Runs in .venv-peers.

Each line on standard input has the seconds of one slice. Each line on standard output has what was done in it.
"""

import json
import sys
import tempfile
import time
from importlib.metadata import version
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event

AGGREGATES = 1_000
EVENTS = 6


class Version(Aggregate):
    """A version's life in six events, as in the history that Headgate replays."""

    @event("Created")
    def __init__(self, model: str, number: int, repository: str, commit: str) -> None:
        self.model, self.number, self.repository, self.commit = model, number, repository, commit
        self.build, self.worker, self.manifest, self.loss = "created", "", "", 0.0

    @event("TestingStarted")
    def start_testing(self, attempt: int, worker: str, lease_ms: int) -> None:
        self.build, self.attempt, self.worker, self.lease_ms = "testing", attempt, worker, lease_ms

    @event("CodeTested")
    def tested(self, passed: bool, duration_ms: int) -> None:
        self.passed, self.duration_ms = passed, duration_ms

    @event("TrainingStarted")
    def start_training(self, attempt: int) -> None:
        self.build = "training"

    @event("TrainingFinished")
    def trained(self, manifest: str, epochs: int, loss: float) -> None:
        self.build, self.manifest, self.loss = "trained", manifest, loss

    @event("EvaluationStarted")
    def start_evaluation(self, attempt: int, worker: str, lease_ms: int) -> None:
        self.build, self.worker, self.lease_ms = "evaluating", worker, lease_ms


def _prepared(path: str) -> "tuple[Application, list[UUID]]":
    app: Application = Application(env={"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": path})
    ids = []
    for number in range(AGGREGATES):
        made = Version("model-0001", number, "https://git.example/model.git", "ab" * 20)
        made.start_testing(1, "trainer-0", 60_000)
        made.tested(True, 900)
        made.start_training(1)
        made.trained("cd" * 32, 20, 0.1)
        made.start_evaluation(1, "evaluator-0", 60_000)
        app.save(made)
        ids.append(made.id)
    return app, ids


def _slice(app: Application, ids: "list[UUID]", seconds: float) -> "dict[str, float]":
    events, start, cpu = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < seconds:
        for id_ in ids:
            assert app.repository.get(id_).version == EVENTS
            events += EVENTS
    return {"events": events, "wall_s": time.perf_counter() - start, "cpu_s": time.process_time() - cpu}


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        app, ids = _prepared(f"{folder}/events.db")
        print(json.dumps({"version": version("eventsourcing")}), flush=True)
        for line in sys.stdin:
            print(json.dumps(_slice(app, ids, float(line))), flush=True)
        app.close()


if __name__ == "__main__":
    main()
