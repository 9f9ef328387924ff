"""Measures the replay of a whole log, with all checks, in turns with the SQLite repository of eventsourcing."""

import gc
import time
from contextlib import closing
from pathlib import Path

from headgate.lifecycle.replay import fold_all
from headgate.log.sqlite.log import SqliteLog
from tests.bench.history import history
from tests.bench.lines import LineProcess
from tests.bench.results import Results, Slice

FACTS, QUICK_FACTS = 1_000_000, 50_000
SLICES, QUICK_SLICES = 3, 5
PEER_SECONDS, QUICK_PEER_SECONDS = 2.0, 0.8
WHAT = "replay"


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """Measures whole replays in turns with slices of the peer."""
    log = SqliteLog(history(cache, QUICK_FACTS if quick else FACTS))
    seconds = QUICK_PEER_SECONDS if quick else PEER_SECONDS
    with closing(log), LineProcess([peer_python, Path(__file__).with_name("replay_peer.py")]) as peer:
        results.versions["eventsourcing"] = peer.read()["version"]
        peer.ask(seconds / 4), _own(log)
        slices = [(_own(log), peer.ask(seconds)) for _ in range(QUICK_SLICES if quick else SLICES)]
    own = results.add(WHAT, "headgate", [_figures(ours) for ours, _ in slices])
    other = results.add(WHAT, "eventsourcing sqlite", [_figures(theirs) for _, theirs in slices])
    # By CPU time, because both sides use one core and other processes of the machine disturb the wall time.
    ratio = other["us CPU/event"] / own["us CPU/event"]
    results.compare("replay, events per CPU second", ratio, 4, 6)


def _own(log: SqliteLog) -> Slice:
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    fold = fold_all(log)
    done = {"events": fold.revision, "wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}
    if fold.void_records or any(stream.broken for stream in fold.streams.values()):
        raise AssertionError("the history has void records or illegal facts, so the measurement means nothing")
    return done


def _figures(done: Slice) -> Slice:
    return {"events/s": done["events"] / done["wall_s"], "us CPU/event": done["cpu_s"] / done["events"] * 1e6}
