"""Measures the view in Redis: its lag after an acknowledgement, the time to build it, and the time of its answers."""

import os
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from statistics import median, quantiles

import grpc
from redis import Redis

from headgate.lifecycle.follower import LifecycleFold
from headgate.log.sqlite.log import SqliteLog
from headgate.runtime.redis_client import RedisUnavailable
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from headgate.view.fields import Kind
from headgate.view.indexed import IndexedFold
from headgate.view.query import new_query
from headgate.view.redis.reader import RedisReader
from headgate.view.redis.writer import ViewWriter
from tests.bench import processes
from tests.bench.history import history
from tests.bench.results import Results
from tests.redis_server import RedisNotStarted, RedisServer

FACTS, QUICK_FACTS = 100_000, 20_000
WRITERS = 8
FACTS_PER_SECOND = 200
SECONDS, QUICK_SECONDS = 20.0, 4.0
MAX_LAG_SECONDS = 1.0
MAX_REBUILD_SECONDS = 30.0
SEARCHES = 50
QUERIES = {
    "get the newest 100": {"model": "-"},
    "one model's versions": {"model": "model-0500"},
    "by label, newest 100": {"model": "-", "filter_text": "label = tests_failed"},
    "by metric, best 100": {"model": "-", "filter_text": "metrics.accuracy >= 0.9", "order_by": "metrics.recall desc"},
    "by a rare commit": {"model": "-", "filter_text": "commit = 0000*"},
}


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Builds a view of a long history, and queries it and the fold. Then measures the lag of a live registry's view."""
    try:
        with RedisServer() as redis:
            _measure_rebuild(results, cache, redis.url, QUICK_FACTS if quick else FACTS)
        with RedisServer() as redis:
            _measure_lag(results, cache, redis.url, QUICK_SECONDS if quick else SECONDS)
    except RedisNotStarted as error:
        results.notes.append(f"the view is not measured: {error}")


def _measure_rebuild(results: Results, cache: Path, url: str, facts: int) -> None:
    with closing(SqliteLog(history(cache, facts))) as log, closing(LifecycleFold(log)) as fold:
        start, cpu = time.perf_counter(), time.process_time()
        fold.start()
        assert fold.wait_caught_up(600)
        folded = time.perf_counter() - start
        with closing(ViewWriter(url, log, fold)) as writer, closing(RedisReader(url, 5.0)) as reader:
            writer.start()
            while not writer.wait_written(fold.accepted, 1.0):
                time.sleep(0.005)
            seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
            with Redis.from_url(url) as client:
                memory = client.info("memory")["used_memory"] / 2**20
            figures = {"s": seconds, "of it replay s": folded, "us CPU/fact": cpu / facts * 1e6, "Redis MiB": memory}
            results.rows.append((f"view from {facts:,} facts", "headgate", figures))
            # Per 100,000 facts, so that a quick run gives the same value.
            results.compare("view rebuilt, 30 s over it", MAX_REBUILD_SECONDS / (seconds * FACTS / facts), 1, 3)
            indexed = IndexedFold(fold)
            indexed.start()
            for what, fields in QUERIES.items():
                _measure_query(results, what, fold, indexed, reader, fields)


def _measure_query(
    results: Results, what: str, fold: LifecycleFold, indexed: IndexedFold, reader: RedisReader, fields: dict[str, str]
) -> None:
    query = new_query(Kind.VERSION, **fields)
    taken: dict[str, list[float]] = {"fold": [], "view": []}
    with fold.lock:
        indexed.find(query)  # The first one of an order sorts it.
        for _ in range(SEARCHES):
            start = time.perf_counter()
            indexed.find(query)
            between = time.perf_counter()
            reader.find(query)
            taken["fold"].append(between - start)
            taken["view"].append(time.perf_counter() - between)
    results.rows.append((what, "fold | view", {f"{who} p50 ms": median(took) * 1e3 for who, took in taken.items()}))


def _measure_lag(results: Results, cache: Path, url: str, seconds: float) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=cache)))
        port = processes.free_port()
        env = {"HEADGATE_LOG": f"sqlite://{folder}/log.db", "HEADGATE_PORT": str(port), "HEADGATE_REDIS": url}
        env["HEADGATE_ONE_CORE"] = "true"  # as `headgate up` runs it
        command = [sys.executable, "-m", "services.registry"]
        pid = stack.enter_context(processes.server(command, env, port, folder / "registry.log"))
        channel = stack.enter_context(grpc.insecure_channel(f"127.0.0.1:{port}"))
        reader = stack.enter_context(closing(RedisReader(url, 5.0)))
        stub = registry_service_grpc.RegistryServiceStub(channel)
        until = time.perf_counter() + seconds
        wall, cpu = time.perf_counter(), processes.cpu_s([pid])
        with ThreadPoolExecutor(WRITERS) as writers:
            runs = [writers.submit(_write, stub, reader, f"m{number}", until) for number in range(WRITERS)]
        lags = [lag for run in runs for lag in run.result()]
        wall, cpu = time.perf_counter() - wall, processes.cpu_s([pid]) - cpu
    hundredths = quantiles(lags, n=100)
    figures = {
        "facts/s": len(lags) / wall,
        "p50 ms": hundredths[49] * 1e3,
        "p99 ms": hundredths[98] * 1e3,
        "us CPU/fact": cpu / len(lags) * 1e6,
    }
    results.rows.append((f"view lag, {FACTS_PER_SECOND} facts/s wanted", "headgate", figures))
    results.compare("view lag after acknowledgement p99, 1 s over it", MAX_LAG_SECONDS / hundredths[98], 1, 10)


def _write(
    stub: registry_service_grpc.RegistryServiceStub, reader: RedisReader, model: str, until: float
) -> list[float]:
    """Creates versions at this writer's share of the rate. Returns the seconds from each acknowledgement until the view
    shows the version."""
    pace, lags = threading.Event(), []
    next_at = time.perf_counter()
    while (now := time.perf_counter()) < until:
        pace.wait(max(0.0, next_at - now))
        next_at = max(next_at + WRITERS / FACTS_PER_SECOND, now)
        request = registry_service.CreateVersionRequest(
            parent=f"models/{model}", repository="/r", commit=os.urandom(20).hex()
        )
        id_ = f"{model}/{stub.CreateVersion(request).version:010d}"
        acknowledged = time.perf_counter()
        while not _shown(reader, id_):
            time.sleep(0.001)
        lags.append(time.perf_counter() - acknowledged)
    return lags


def _shown(reader: RedisReader, id_: str) -> bool:
    try:
        return reader.get(Kind.VERSION, [id_])[0] != [None]
    except RedisUnavailable:  # The view is still being built.
        return False
