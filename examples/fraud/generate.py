"""Draws the 1,000 transactions of this example, 300 of them fraudulent. The same seed gives the same bytes.

Genuine customers behave in three ways, fraudsters in three others. Their columns overlap, so no single column shows a
fraud. Only several together do.
"""

from __future__ import annotations

import argparse
import math
import random
from dataclasses import dataclass
from pathlib import Path

SEED = 20
HEADER = (
    "amount,amount_to_usual,hour,distance_km,merchant_risk,transactions_last_hour,declined_last_day,"
    "minutes_since_last,device_age_days,account_age_days,session_seconds,fraud"
)


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How many customers behave this way, and the middle of each column. All behaviours share the spreads (SPREAD)."""

    count: int
    fraud: int
    amount: float
    amount_to_usual: float
    hour: float
    distance_km: float
    merchant_risk: float
    transactions_last_hour: float
    declined_last_day: float
    minutes_since_last: float
    device_age_days: float
    account_age_days: float
    session_seconds: float


EVERYDAY = Behaviour(380, 0, 28, 1.0, 14, 5, 0.25, 1.0, 0.6, 500, 300, 1500, 110)
SHOPPING_SPREE = Behaviour(180, 0, 55, 1.3, 20, 9, 0.42, 4.0, 1.0, 18, 330, 1100, 260)
TRAVEL = Behaviour(140, 0, 95, 2.2, 15, 700, 0.40, 1.3, 1.0, 160, 200, 1800, 75)
CARD_TESTING = Behaviour(100, 1, 5, 0.25, 7, 60, 0.52, 6.0, 2.6, 6, 60, 900, 35)
ACCOUNT_TAKEOVER = Behaviour(100, 1, 190, 4.0, 18, 40, 0.45, 1.4, 1.2, 420, 9, 1300, 300)
STOLEN_CARD = Behaviour(100, 1, 110, 3.2, 17, 70, 0.60, 4.5, 2.2, 14, 240, 1400, 45)
BEHAVIOURS = (EVERYDAY, SHOPPING_SPREE, TRAVEL, CARD_TESTING, ACCOUNT_TAKEOVER, STOLEN_CARD)

# The spread of a log-normal column is a factor. That of `hour` and `merchant_risk` is an amount.
SPREAD = {
    "amount": 0.70,
    "amount_to_usual": 0.45,
    "hour": 3.5,
    "distance_km": 1.0,
    "merchant_risk": 0.13,
    "transactions_last_hour": 0.55,
    "declined_last_day": 0.60,
    "minutes_since_last": 0.90,
    "device_age_days": 0.90,
    "account_age_days": 0.60,
    "session_seconds": 0.55,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path, nargs="?", default=Path(__file__).parent / "data" / "transactions.csv")
    parser.add_argument("--seed", type=int, default=SEED)
    options = parser.parse_args()
    options.path.write_bytes(transactions_csv(options.seed))


def transactions_csv(seed: int = SEED) -> bytes:
    chance = random.Random(seed)
    lines = [transaction(behaviour, chance) for behaviour in BEHAVIOURS for _ in range(behaviour.count)]
    chance.shuffle(lines)
    return "\n".join([HEADER, *lines, ""]).encode("ascii")


def transaction(behaviour: Behaviour, chance: random.Random) -> str:
    """One line of the file, in the units that a payment system records."""
    around = {
        column: chance.gauss(getattr(behaviour, column), spread)
        if column in ("hour", "merchant_risk")
        else getattr(behaviour, column) * math.exp(chance.gauss(0.0, spread))
        for column, spread in SPREAD.items()
    }
    return ",".join(
        (
            f"{max(around['amount'], 0.5):.2f}",
            f"{around['amount_to_usual']:.3f}",
            f"{around['hour'] % 24:.2f}",
            f"{around['distance_km']:.1f}",
            f"{min(max(around['merchant_risk'], 0.0), 1.0):.3f}",
            f"{math.floor(around['transactions_last_hour'])}",
            f"{math.floor(around['declined_last_day'])}",
            f"{around['minutes_since_last']:.1f}",
            f"{around['device_age_days']:.1f}",
            f"{around['account_age_days']:.0f}",
            f"{around['session_seconds']:.0f}",
            f"{behaviour.fraud}",
        )
    )


if __name__ == "__main__":
    main()
