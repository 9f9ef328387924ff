"""Draws the 800 reviews of this example, with a 1 where the writer is content. The same seed gives the same bytes."""

from __future__ import annotations

import argparse
import random
from pathlib import Path

SEED = 20
REVIEWS = 800
MISTAKEN_SHARE = 0.03
"""Writers who tick the wrong box."""

NOUNS = ("food", "soup", "waiter", "room", "view", "bed", "breakfast", "music", "coffee", "garden")
GOOD = ("good", "great", "lovely", "fresh", "friendly", "perfect", "charming", "warm")
BAD = ("bad", "awful", "cold", "rude", "dirty", "stale", "noisy", "dull")
BEFORE = (("", 1), ("", 1), ("very ", 2), ("not ", -1), ("hardly ", -1))
OPENINGS = ("", "We came on a Sunday.", "Third visit!", "My sister chose it;", "On the way to the coast:")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, nargs="?", default=Path(__file__).parent / "data" / "reviews.csv")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    options.path.write_bytes(reviews_csv(options.seed))


def reviews_csv(seed: int = SEED) -> bytes:
    chance = random.Random(seed)
    return "\n".join(["content,text", *(review(chance) for _ in range(REVIEWS)), ""]).encode("ascii")


def review(chance: random.Random) -> str:
    """One line of the file. A review whose praise and blame are equal is drawn again."""
    sentences, balance = [], 0
    while not balance:
        drawn = [sentence(chance) for _ in range(chance.randint(1, 4))]
        sentences, balance = [text for text, _ in drawn], sum(weight for _, weight in drawn)
    content = (balance > 0) != (chance.random() < MISTAKEN_SHARE)
    text = " ".join([chance.choice(OPENINGS), *sentences]).strip()
    return f'{int(content)},"{text}"'


def sentence(chance: random.Random) -> tuple[str, int]:
    """A sentence, and how much it praises."""
    word, factor = chance.choice(BEFORE)
    praises = chance.random() < 0.5
    opinion = chance.choice(GOOD if praises else BAD)
    end = chance.choice((".", ".", "!", "..."))
    return f"The {chance.choice(NOUNS)} was {word}{opinion}{end}", factor if praises else -factor


if __name__ == "__main__":
    main()
