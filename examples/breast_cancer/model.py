"""Benign or malignant: a small network with thirty measurements of the cell nuclei in one sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

MEASURES = [
    "radius",
    "texture",
    "perimeter",
    "area",
    "smoothness",
    "compactness",
    "concavity",
    "concave_points",
    "symmetry",
    "fractal_dimension",
]
FEATURES = [f"{statistic}_{measure}" for statistic in ("mean", "error", "worst") for measure in MEASURES]

# The split has its own seed, so a held-out row stays held out when a commit trains with another seed.
SPLIT_SEED = 20
SHARES = {"train": 0.60, "validation": 0.15, "test": 0.25}


def network(context: Any) -> nn.Module:
    rows, _ = datasets(context)["train"]
    hidden = context.parameters["hidden"]
    return nn.Sequential(
        Standardise(rows),
        nn.Linear(len(FEATURES), hidden),
        nn.ReLU(),
        nn.Linear(hidden, 1),
        nn.Sigmoid(),
    )


def datasets(context: Any) -> dict[str, tuple[Tensor, Tensor]]:
    columns = read(context.data["samples"])
    features, malignant = columns[:, :-1], columns[:, -1]
    return {name: (features[rows], malignant[rows]) for name, rows in stratified(malignant).items()}


class Standardise(nn.Module):
    """Part of the network, so the served model takes raw measurements. A missing one (NaN) counts as average."""

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", rows.mean(dim=0))
        self.register_buffer("std", rows.std(dim=0))

    def forward(self, rows: Tensor) -> Tensor:
        complete = torch.where(torch.isnan(rows), self.mean, rows)
        return (complete - self.mean) / self.std


def read(path: Path) -> Tensor:
    with path.open() as lines:
        header = lines.readline().strip().split(",")
        if header != [*FEATURES, "malignant"]:
            raise ValueError(f"{path.name} has the columns {header}")
        return torch.from_numpy(np.loadtxt(lines, delimiter=",", dtype=np.float32))


def stratified(malignant: Tensor) -> dict[str, Tensor]:
    """The row numbers of each part. Every part has the same share of malignant samples."""
    # NumPy promises that the stream of RandomState never changes.
    chance = np.random.RandomState(SPLIT_SEED)
    parts: dict[str, list[int]] = {name: [] for name in SHARES}
    for label in (0.0, 1.0):
        rows = chance.permutation(np.flatnonzero(malignant.numpy() == label))
        ends = np.round(np.cumsum(list(SHARES.values())) * len(rows)).astype(int)
        for name, part in zip(SHARES, np.split(rows, ends[:-1]), strict=True):
            parts[name].extend(part.tolist())
    return {name: torch.tensor(sorted(rows)) for name, rows in parts.items()}
