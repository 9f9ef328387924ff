"""Measures an evaluation of many rows as the evaluator does it, in turns with ONNX Runtime's own batches over them."""

import sys
import tempfile
from pathlib import Path

from tests.bench.lines import LineProcess
from tests.bench.results import Results, Slice

WHAT = "evaluation, rows of 50"
ROWS, QUICK_ROWS = 1_000_000, 200_000
SLICES = 3
LEAST_RATIO, GOAL_RATIO = 0.7, 0.8
"""To the rows that ONNX Runtime alone runs. Of a small network the whole evaluation cannot be as fast: the SHA-256 of
200 bytes takes three quarters of the time of a row's answer. So it is also compared with ONNX Runtime and SHA-256."""
MOST_MIB = 512
WHO_WHOLE, WHO_OWN, WHO_OTHER = "headgate, whole", "headgate, rows run", "onnxruntime alone"
DIGEST = "SHA-256 alone"
WHOLE, HEADGATE, RUNTIME, PREPARE, PARTS = "whole", "headgate", "onnxruntime", "prepare", "parts"


def measure(results: Results, cache: Path, peer_python: Path, quick: bool) -> None:
    """By CPU time, because both use one core. Each run is a process of its own, as in the evaluator."""
    rows = QUICK_ROWS if quick else ROWS
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        command = [sys.executable, "-m", "tests.bench.evaluation_runs", folder]
        with LineProcess([*command, PREPARE, str(rows)]) as preparing:
            preparing.read()
        turns = [[_run(command, each) for each in (WHOLE, HEADGATE, RUNTIME)] for _ in range(SLICES)]
        parts = [_run(command, PARTS) for _ in range(SLICES)]
    whole, own, other = (
        results.add(WHAT, who, [_figures(done, rows) for done in runs])
        for who, runs in zip((WHO_WHOLE, WHO_OWN, WHO_OTHER), zip(*turns, strict=True), strict=True)
    )
    steps = results.add(WHAT, "its parts, us CPU/row", [_for_each(part, rows) for part in parts])
    for what, figures in (("rows run", own), ("whole", whole)):
        ratio = other["us CPU/row"] / figures["us CPU/row"]
        results.compare(f"evaluation, {what}, per CPU second", ratio, LEAST_RATIO, GOAL_RATIO)
        results.compare(f"evaluation, {what}, per second", figures["rows/s"] / other["rows/s"], LEAST_RATIO, GOAL_RATIO)
    least = other["us CPU/row"] + steps[DIGEST]
    what = "evaluation, whole, per CPU second of ONNX Runtime and SHA-256"
    results.compare(what, least / whole["us CPU/row"], LEAST_RATIO, GOAL_RATIO)
    results.compare(f"evaluation of {rows:,} rows: {MOST_MIB} MiB over its peak", MOST_MIB / whole["peak MiB"], 1, 1.25)


def _run(command: list[str], who: str) -> Slice:
    with LineProcess([*command, who]) as process:
        return process.read()


def _figures(done: Slice, rows: int) -> Slice:
    return {
        "rows/s": rows / done["wall_s"],
        "us CPU/row": done["cpu_s"] / rows * 1e6,
        "peak MiB": done["peak_mib"],
    }


def _for_each(part: Slice, rows: int) -> Slice:
    return {name: seconds / rows * 1e6 for name, seconds in part.items()}
