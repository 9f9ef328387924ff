"""Draws the 400 clips of this example: who speaks which digit, and how. The same seed gives the same bytes.

A clip is a line of numbers here. `voice.py` makes sound of it.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

SEED = 20
SPEAKERS, DIGITS, TAKES = 20, 10, 2
HEADER = "speaker,digit,pitch_hz,tract,speed,start_seconds,loudness,noise,seed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, nargs="?", default=Path(__file__).parent / "data" / "clips.csv")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    options.path.write_bytes(clips_csv(options.seed))


def clips_csv(seed: int = SEED) -> bytes:
    chance = random.Random(seed)
    lines = [line for speaker in range(SPEAKERS) for line in clips_of(speaker, chance)]
    return "\n".join([HEADER, *lines, ""]).encode("ascii")


def clips_of(speaker: int, chance: random.Random) -> list[str]:
    """A speaker has a pitch, a length of the vocal tract and a speed, and varies them a little from take to take."""
    pitch, tract, speed = chance.uniform(95, 230), chance.uniform(0.88, 1.16), chance.uniform(0.85, 1.15)
    return [
        f"{speaker},{digit},{pitch * chance.uniform(0.93, 1.07):.2f},{tract * chance.uniform(0.95, 1.05):.4f},"
        f"{speed * chance.uniform(0.9, 1.1):.4f},{chance.uniform(0.0, 0.05):.4f},{chance.uniform(0.1, 0.6):.4f},"
        f"{chance.uniform(0.3, 2.4):.4f},{chance.randrange(1 << 31)}"
        for digit in range(DIGITS)
        for _ in range(TAKES)
    ]


if __name__ == "__main__":
    main()
