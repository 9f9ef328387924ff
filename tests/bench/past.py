"""Measures reads of the past on a model of many facts, in turns with a fold of its facts from the first one."""

import random
import time
from contextlib import closing
from pathlib import Path
from statistics import median, quantiles

from headgate.domain.names import model_stream
from headgate.lifecycle.follower import LifecycleFold
from headgate.lifecycle.moment import AtTime
from headgate.lifecycle.past import Past
from headgate.log.sqlite.log import SqliteLog
from tests.bench.history import history
from tests.bench.results import Results, Slice

FACTS = 10_000
MAX_WAIT_SECONDS = 120.0
MODEL = "model-0000"
READS, QUICK_READS = 200, 60
SLICES, QUICK_SLICES = 5, 3
WHAT = "past, 10,000 facts"


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Reads one model at random moments, of a log with its facts alone."""
    log = SqliteLog(history(cache, FACTS, models=1))
    with closing(log), closing(LifecycleFold(log)) as fold:
        fold.start()
        if not fold.wait_caught_up(MAX_WAIT_SECONDS):
            raise AssertionError("the history was not folded in time")
        reads, slices = (QUICK_READS, QUICK_SLICES) if quick else (READS, SLICES)
        random_moments = random.Random(1)
        first, reading = [], []
        for _ in range(slices):
            past = Past(log, fold)
            first.append(_first(past))
            reading.append(_reads(past, reads, random_moments))
    whole = results.add(WHAT, "the first read", first)
    own = results.add(WHAT, "later reads", reading)
    results.compare("past, a later read to the first one", whole["CPU ms"] / own["CPU ms"], 3, 5)
    # By CPU time, because other processes of the machine disturb the wall time.
    results.compare("past, 50 ms to a later read (CPU)", 50 / own["CPU ms"], 2, 5)


def _first(past: Past) -> Slice:
    """Folds all but the last of the facts, as no state of the past is kept yet."""
    stream = model_stream(MODEL)
    wall, cpu = time.perf_counter(), time.process_time()
    last = past.span()
    assert last is not None
    state = past.at(AtTime(last[1] - 1)).state_of(stream)
    assert state is not None
    return {"ms": (time.perf_counter() - wall) * 1e3, "CPU ms": (time.process_time() - cpu) * 1e3}


def _reads(past: Past, reads: int, moments: random.Random) -> Slice:
    span = past.span()
    assert span is not None
    took_ms = []
    cpu = time.process_time()
    for _ in range(reads):
        began = time.perf_counter()
        past.at(AtTime(moments.randint(*span))).model(MODEL)
        took_ms.append((time.perf_counter() - began) * 1e3)
    cpu_ms = (time.process_time() - cpu) * 1e3 / reads
    return {"ms": median(took_ms), "ms p95": quantiles(took_ms, n=20)[-1], "CPU ms": cpu_ms}
