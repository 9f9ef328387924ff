"""Draws the 400 points of this example: a number x from -3 to 3, and its square. The same seed gives the same bytes."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

SEED = 20
POINTS = 400
LARGEST = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, nargs="?", default=Path(__file__).parent / "data" / "squares.csv")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    options.path.write_bytes(squares_csv(options.seed))


def squares_csv(seed: int = SEED) -> bytes:
    chance = random.Random(seed)
    numbers = [round(chance.uniform(-LARGEST, LARGEST), 4) for _ in range(POINTS)]
    return "\n".join(["x,y", *(f"{x:.4f},{x * x:.8f}" for x in numbers), ""]).encode("ascii")


if __name__ == "__main__":
    main()
