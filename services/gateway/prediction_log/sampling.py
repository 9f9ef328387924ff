"""Which predictions are recorded: the share of each model's, chosen by key, and how many a second. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from headgate.domain.names import MODEL_NAME_RULE, is_model_name
from services.gateway.assignment import HASH_BITS

MAX_CONTENT_BYTES = 900_000
"""The most bytes of tensors in one record. A record of the log has a megabyte at most."""
ALL = "*"


@dataclass(frozen=True, slots=True)
class Sampling:
    """Which share of each model's predictions is recorded, and how many a second at most."""

    rate: float
    rates: Mapping[str, float]
    per_second: float

    @property
    def is_on(self) -> bool:
        """Whether any prediction can be recorded."""
        return self.rate > 0 or any(rate > 0 for rate in self.rates.values())

    def rate_of(self, model: str) -> float:
        return self.rates.get(model, self.rate)


def salt_of(model: str) -> str:
    """The salt of the sample: one for each model, and no release's, so the sample does not depend on the arm."""
    return f"predictions/{model}"


def is_sampled(key_hash: int, rate: float) -> bool:
    """Whether the predictions of a key are recorded at this rate. A higher rate only adds keys."""
    return key_hash < int(rate * 2**HASH_BITS)


class Allowance:
    """So many a second, and as many at once. For one thread."""

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._per_second = per_second
        self._clock = clock
        self._left = max(1.0, per_second)
        self._at = clock()

    def take(self) -> bool:
        """Whether one more is allowed now."""
        now = self._clock()
        self._left = min(max(1.0, self._per_second), self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True


def rates_of(text: str) -> dict[str, float]:
    """The rates of single models, from `fraud=1,churn=0`. Raises ValueError with the rule."""
    found: dict[str, float] = {}
    for part in filter(None, text.split(",")):
        model, equals, rate = part.strip().partition("=")
        if not equals or not is_model_name(model):
            raise ValueError(f"{part.strip()!r}: expected MODEL=RATE, such as fraud=0.1; {MODEL_NAME_RULE}")
        try:
            found[model] = float(rate)
            require_rate(found[model])
        except ValueError:
            raise ValueError(f"{part.strip()!r}: expected a rate from 0 to 1") from None
    return found


def models_of(text: str) -> frozenset[str]:
    """The models of a list such as `patients,loans`, or `*`. Raises ValueError with the rule."""
    found = frozenset(part.strip() for part in text.split(",") if part.strip())
    for model in found:
        if model != ALL and not is_model_name(model):
            raise ValueError(f"{model!r}: expected the names of models with commas between, or *; {MODEL_NAME_RULE}")
    return found


def require_rate(rate: float) -> None:
    """Raises ValueError when this is no share."""
    if not 0 <= rate <= 1:
        raise ValueError("expected a share from 0 to 1")
