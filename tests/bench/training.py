"""Measures training: Headgate's own loop in turns with a DataLoader loop over the same rows, network and steps."""

import math
import sys
from pathlib import Path

from tests.bench.lines import LineProcess
from tests.bench.results import Results, Slice

WHAT = "training, 30-64-1 network"
HEADGATE, DATALOADER = "headgate", "dataloader"
SLICES, QUICK_SLICES = 9, 5
LEAST, GOAL = 1.5, 1.75
EQUAL = 1e-4
"""The relative difference up to which two losses are equal."""


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """By CPU time, because each loop uses one core, and other processes of the machine disturb the wall time."""
    with LineProcess([sys.executable, "-m", "tests.bench.training_loops"]) as loops:
        results.versions["torch"] = loops.read()["version"]
        loops.ask(HEADGATE), loops.ask(DATALOADER)
        slices = [(loops.ask(HEADGATE), loops.ask(DATALOADER)) for _ in range(QUICK_SLICES if quick else SLICES)]
    _require_equal_losses(*slices[0])
    own = results.add(WHAT, "headgate", [_figures(ours) for ours, _ in slices])
    other = results.add(WHAT, "DataLoader", [_figures(theirs) for _, theirs in slices])
    ratio = other["us CPU/sample"] / own["us CPU/sample"]
    results.compare("training, samples per CPU second", ratio, LEAST, GOAL)


def _require_equal_losses(ours: Slice, theirs: Slice) -> None:
    if not math.isclose(ours["loss"], theirs["loss"], rel_tol=EQUAL):
        raise AssertionError(f"the losses are {ours['loss']} and {theirs['loss']}, so the measurement means nothing")


def _figures(done: Slice) -> Slice:
    return {
        "samples/s": done["rows"] / done["wall_s"],
        "us CPU/sample": done["cpu_s"] / done["rows"] * 1e6,
        "loss": done["loss"],
    }
