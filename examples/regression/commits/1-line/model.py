"""The square of a number, by a line: y = w x + b."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

# The points are drawn in no order, so the parts of the file are random samples.
ENDS = {"train": 240, "validation": 300, "test": 400}


def network(context: Any) -> nn.Module:
    return nn.Linear(1, 1)


def datasets(context: Any) -> dict[str, tuple[Tensor, Tensor]]:
    x, y = read(context.data["squares"]).split(1, dim=1)
    parts, start = {}, 0
    for name, end in ENDS.items():
        parts[name] = x[start:end], y[start:end]
        start = end
    return parts


def read(path: Path) -> Tensor:
    with path.open() as lines:
        header = lines.readline().strip()
        if header != "x,y":
            raise ValueError(f"{path.name} has the columns {header}")
        return torch.from_numpy(np.loadtxt(lines, delimiter=",", dtype=np.float32))
