"""Writes the results of a run as a page of the docs."""

import os
import re
from pathlib import Path

from tests.bench.results import Results, number


def machine() -> str:
    """The machine in words: its processor, its cores, and how busy it is."""
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    processor = found[1] if found else "an unknown processor"
    return f"{os.cpu_count()} cores of {processor}, load {os.getloadavg()[0]:.1f} at the end"


def as_page(results: Results, machine: str, day: str) -> str:
    """A page with the rows and the ratios, and with what has to be known to read them."""
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    lines = [
        "# Benchmarks",
        "",
        '`make bench ARGS="--only grpc --docs"` wrote this page. All servers answered on one machine in',
        "one run, in alternating slices, and each figure is the median of its slices. Compare figures of one table.",
        "Triton is the C++ server with its Python backend: its wheel lacks the ONNX Runtime backend, which is faster.",
        "",
        f"{day}: {machine}. {versions}.",
    ]
    names = list(dict.fromkeys(tuple(figures) for _, _, figures in results.rows))
    for header in names:
        lines += ["", f"| what | who | {' | '.join(header)} |", "|---" * (len(header) + 2) + "|"]
        for what, who, figures in results.rows:
            if tuple(figures) == header:
                lines.append(f"| {what} | {who} | {' | '.join(map(number, figures.values()))} |")
    if results.ratios:
        lines += ["", "| ratio | measured | at least | goal | |", "|---|---|---|---|---|"]
        for each in results.ratios:
            verdict = "met" if each.met else "missed"
            lines.append(f"| {each.what} | {each.value:.2f} | {each.least:g} | {each.goal:g} | {verdict} |")
    return "\n".join([*lines, *(f"\n{note}" for note in results.notes)]) + "\n"
