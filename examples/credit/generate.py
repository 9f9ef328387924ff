"""Draws the 2,400 loans of this example, with a 1 where one was repaid late. The same seed gives the same bytes.

The chance to be late is known here, so the best possible figures are known too: `--best` prints them.
"""

from __future__ import annotations

import argparse
import math
import random
from dataclasses import dataclass
from pathlib import Path

SEED = 20
LOANS = 2_400
HELD_OUT = 600
HEADER = "purpose,home,branch,amount,months,income,arrears,late"

PURPOSES = {"car": -0.3, "education": 0.1, "furniture": -0.5, "holiday": 0.8, "repairs": 0.0, "trade": 0.5}
HOMES = {"own": -0.7, "parents": 0.3, "rent": 0.2}
BRANCHES = {110: -0.4, 205: 0.9, 340: -0.6, 415: 0.7, 502: -0.2}
"""The code of a branch is a name: a larger one means nothing."""
BROKER = 205
"""This branch gets its loans for trade from a broker, and most of them are late."""
BROKERED = 1.6


@dataclass(frozen=True, slots=True)
class Loan:
    purpose: str
    home: str
    branch: int
    amount: int
    months: int
    income: int
    """In a month."""
    arrears: int
    """How often the customer was late before."""

    def chance_to_be_late(self) -> float:
        burden = self.amount / self.months / self.income
        brokered = self.branch == BROKER and self.purpose == "trade"
        known = PURPOSES[self.purpose] + HOMES[self.home] + BRANCHES[self.branch] + brokered * BROKERED
        return 1 / (1 + math.exp(3.2 - known - 7.0 * burden - 0.7 * min(self.arrears, 3)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, nargs="?", default=Path(__file__).parent / "data" / "loans.csv")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--best", action="store_true", help="print what the true chances reach on the held-out loans")
    options = parser.parse_args()
    options.path.write_bytes(loans_csv(options.seed))
    if options.best:
        print(best(options.seed))


def loans_csv(seed: int = SEED) -> bytes:
    lines = [
        f"{each.purpose},{each.home},{each.branch},{each.amount},{each.months},{each.income},{each.arrears},{int(late)}"
        for each, late in loans(seed)
    ]
    return "\n".join([HEADER, *lines, ""]).encode("ascii")


def loans(seed: int) -> list[tuple[Loan, bool]]:
    """Each loan, and whether it was repaid late."""
    chance = random.Random(seed)
    drawn = [loan(chance) for _ in range(LOANS)]
    return [(each, chance.random() < each.chance_to_be_late()) for each in drawn]


def loan(chance: random.Random) -> Loan:
    income = chance.lognormvariate(math.log(2_600), 0.35)
    months = chance.choice((12, 24, 36, 48, 60))
    burden = chance.lognormvariate(math.log(0.11), 0.6)
    return Loan(
        purpose=chance.choice(tuple(PURPOSES)),
        home=chance.choices(tuple(HOMES), (40, 15, 45))[0],
        branch=chance.choice(tuple(BRANCHES)),
        amount=max(round(burden * income * months / 100) * 100, 500),
        months=months,
        income=round(income / 10) * 10,
        arrears=chance.choices((0, 1, 2, 3, 4), (70, 15, 8, 5, 2))[0],
    )


def best(seed: int = SEED) -> str:
    """AUC and log loss of the true chances on the held-out loans."""
    held_out = [(each.chance_to_be_late(), late) for each, late in loans(seed)[-HELD_OUT:]]
    lates, others = ([chance for chance, late in held_out if late is kind] for kind in (True, False))
    auc = sum((high > low) + (high == low) / 2 for high in lates for low in others) / len(lates) / len(others)
    log_loss = -sum(math.log(chance if late else 1 - chance) for chance, late in held_out) / len(held_out)
    return f"auc {auc:.3f}, log_loss {log_loss:.3f}, {len(lates)} of {HELD_OUT} late"


if __name__ == "__main__":
    main()
