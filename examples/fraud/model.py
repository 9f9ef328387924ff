"""Genuine or fraudulent: a small network with eleven columns that a payment system knows when a card is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

FEATURES = [
    "amount",
    "amount_to_usual",
    "hour",
    "distance_km",
    "merchant_risk",
    "transactions_last_hour",
    "declined_last_day",
    "minutes_since_last",
    "device_age_days",
    "account_age_days",
    "session_seconds",
]

# The split has its own seed, so a held-out row stays held out when a commit trains with another seed.
SPLIT_SEED = 1
SHARES = {"train": 0.60, "validation": 0.15, "test": 0.25}


def network(context: Any) -> nn.Module:
    rows, _ = datasets(context)["train"]
    hidden = context.parameters["hidden"]
    return nn.Sequential(
        Standardise(rows),
        nn.Linear(len(FEATURES), hidden),
        nn.Tanh(),
        nn.Linear(hidden, 1),
        nn.Sigmoid(),
    )


def datasets(context: Any) -> dict[str, tuple[Tensor, Tensor]]:
    columns = read(context.data["transactions"])
    features, fraud = columns[:, :-1], columns[:, -1]
    return {name: (features[rows], fraud[rows]) for name, rows in stratified(fraud).items()}


class Standardise(nn.Module):
    """Part of the network, so the served model takes the columns as they are recorded.

    It takes logarithms, because for amounts, distances and durations the ratio matters.
    """

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", rows.log1p().mean(dim=0))
        self.register_buffer("std", rows.log1p().std(dim=0))

    def forward(self, rows: Tensor) -> Tensor:
        return (rows.log1p() - self.mean) / self.std


def read(path: Path) -> Tensor:
    with path.open() as lines:
        header = lines.readline().strip().split(",")
        if header != [*FEATURES, "fraud"]:
            raise ValueError(f"{path.name} has the columns {header}")
        return torch.from_numpy(np.loadtxt(lines, delimiter=",", dtype=np.float32))


def stratified(fraud: Tensor) -> dict[str, Tensor]:
    """The row numbers of each part. Every part has the same share of fraud."""
    # NumPy promises that the stream of RandomState never changes.
    chance = np.random.RandomState(SPLIT_SEED)
    parts: dict[str, list[int]] = {name: [] for name in SHARES}
    for label in (0.0, 1.0):
        rows = chance.permutation(np.flatnonzero(fraud.numpy() == label))
        ends = np.round(np.cumsum(list(SHARES.values())) * len(rows)).astype(int)
        for name, part in zip(SHARES, np.split(rows, ends[:-1]), strict=True):
            parts[name].extend(part.tolist())
    return {name: torch.tensor(sorted(rows)) for name, rows in parts.items()}
