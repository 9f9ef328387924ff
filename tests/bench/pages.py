"""Measures one page of 100 versions and a search by commit, of one model with few and with very many versions.

Headgate's registry is asked over gRPC, MLflow's server by its own client and by plain HTTP. MLflow's versions are
copies of one that its server made, written into its database.
"""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from headgate.domain.names import model_stream
from headgate.lifecycle.stream import Stream, new_stream
from headgate.log import topics
from headgate.log.port import Message
from headgate.log.sqlite.log import SqliteLog
from headgate.v1 import facts_pb2 as facts
from tests.bench import processes
from tests.bench.history import BATCH, START_MS, append
from tests.bench.registry import (
    MODELS,
    Side,
    alternate,
    length,
    mlflow_version,
    start_clients,
    start_mlflow,
    start_service,
)
from tests.bench.registry_client import commit_of
from tests.bench.results import Results

MLFLOW_COUNT = 10_000
"""MLflow is not measured with more: a page of 100,000 versions takes its server seconds."""
COUNTS, QUICK_COUNTS = (200, MLFLOW_COUNT, 100_000), (200, MLFLOW_COUNT)
PAGES = ("page", "second_page", "by_commit")


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Asks registries with few and with many versions in turns with MLflow."""
    results.versions["mlflow"] = mlflow_version(peer_python)
    counts = QUICK_COUNTS if quick else COUNTS
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=cache)))
        ours = {count: _registry(results, stack, folder, count) for count in counts}
        peers = start_mlflow(stack, folder, peer_python, MODELS[:1])
        for name in ("mlflow", "mlflow-fast"):
            _fill(folder / f"{name}.db", MLFLOW_COUNT)
        for call in PAGES:
            found = alternate(results, call, [*ours.values(), *peers], call, 1, *length(quick))
            p50 = {name: figures["p50 ms"] for name, figures in found.items()}
            few = p50[ours[counts[0]].name]
            for count in counts[1:]:
                results.compare(f"{call}: at {count:,}, as soon as at {counts[0]}", few / p50[ours[count].name], 0.7, 1)
            sooner = p50[peers[0].name] / p50[ours[MLFLOW_COUNT].name]
            results.compare(f"{call} at {MLFLOW_COUNT:,}, sooner than MLflow", sooner, 10, 10)


def _registry(results: Results, stack: ExitStack, folder: Path, count: int) -> Side:
    path = folder / f"{count}.db"
    _write_log(path, count)
    pid, port = start_service(stack, "registry", folder, f"sqlite://{path}")
    processes.wait_serving(port)
    memory = {"versions": float(count), "resident MiB": processes.resident_mib(processes.tree(pid))}
    results.rows.append(("memory, after the replay", "headgate", memory))
    return Side(f"headgate {count:,}", pid, start_clients(stack, "headgate", port, MODELS[:1]))


def _write_log(path: Path, count: int) -> None:
    """Writes a log with these versions of one model."""
    stream = new_stream(model_stream(MODELS[0]))
    assert stream is not None
    with closing(SqliteLog(path)) as log:
        log.create_topics(topics.TOPICS)
        batch: list[Message] = []
        for message in _messages(stream, count):
            batch.append(message)
            if len(batch) == BATCH:
                log.append_all(batch, timeout_seconds=60.0)
                batch = []
        log.append_all(batch, timeout_seconds=60.0)


def _messages(stream: Stream, count: int) -> Iterator[Message]:
    for number in range(1, count + 1):
        fact = facts.VersionCreated(
            version=number,
            origin=facts.ORIGIN_COMMIT,
            repository="https://git.example/model.git",
            commit=commit_of(number),
        )
        yield append(stream, fact, START_MS + number)


def _fill(database: Path, count: int) -> None:
    """Copies the first version of MLflow's model, with its tag, until it has so many versions."""
    with closing(sqlite3.connect(database, timeout=30.0)) as connection, connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(model_versions)") if row[1] != "version"]
        names = ", ".join(f'"{column}"' for column in columns)
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?) "
            f"INSERT INTO model_versions (version, {names}) "
            f"SELECT n.i, {names} FROM model_versions, n WHERE version = 1",
            (count,),
        )
        connection.execute(
            "INSERT INTO model_version_tags (name, version, key, value) "
            "SELECT name, version, 'commit', printf('%040x', version * 2654435761) FROM model_versions"
        )
