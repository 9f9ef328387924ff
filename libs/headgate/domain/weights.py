"""Traffic weights: shares of a model's requests in basis points. 10,000 of them are all requests."""

FULL_WEIGHT_BPS = 10_000


def share_of(weight_bps: int) -> float:
    """The weight as a share from 0 to 1."""
    return weight_bps / FULL_WEIGHT_BPS


def percent_of(weight_bps: int) -> str:
    """The weight in percent, for example "2.5 %"."""
    return f"{weight_bps / 100:g} %"
