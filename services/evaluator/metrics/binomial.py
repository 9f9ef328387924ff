"""The exact (Clopper-Pearson) confidence interval of a share: hits among a number of rows.

Its ends are quantiles of the beta distribution, found by Newton's method, which falls back to bisection, with the
distribution's continued fraction.
"""

import math

MAX_STEPS = 100
MAX_TERMS = 100_000
TINY = 1e-300
PRECISION = 1e-15


def exact_interval(hits: int, total: int, confidence: float) -> tuple[float, float]:
    """The ends of the interval; `total` is at least 1."""
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else _beta_quantile(tail, hits, total - hits + 1)
    high = 1.0 if hits == total else 1 - _beta_quantile(tail, total - hits, hits + 1)
    return low, high


def _beta_quantile(probability: float, a: int, b: int) -> float:
    low, high, x = 0.0, 1.0, a / (a + b)
    for _ in range(MAX_STEPS):
        over = beta_distribution(x, a, b) - probability
        low, high = (x, high) if over < 0 else (low, x)
        density = math.exp(_logarithm(x, a, b)) / (x * (1 - x))
        last, x = x, x - over / density if density else math.inf
        if not low < x < high:
            x = (low + high) / 2
        if abs(x - last) <= PRECISION * x:
            break
    return x


def beta_distribution(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):  # the fraction converges fast only on the other side
        return 1 - beta_distribution(1 - x, b, a)
    return math.exp(_logarithm(x, a, b)) * _fraction(x, a, b) / a


def _logarithm(x: float, a: float, b: float) -> float:
    """Of x**a * (1 - x)**b / B(a, b)."""
    return math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function, by Lentz's method."""
    c, d = 1.0, 1 / _not_zero(1 - (a + b) * x / (a + 1))
    value = d
    for n in range(1, MAX_TERMS):
        for term in (
            n * (b - n) * x / ((a + 2 * n - 1) * (a + 2 * n)),
            -(a + n) * (a + b + n) * x / ((a + 2 * n) * (a + 2 * n + 1)),
        ):
            d = 1 / _not_zero(1 + term * d)
            c = _not_zero(1 + term / c)
            value *= c * d
        if abs(c * d - 1) < PRECISION:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY
