"""What a metric is: its kind, its labels and the most series that it may have in one service."""

from dataclasses import dataclass
from enum import Enum
from typing import Literal

OTHER = "_other"
"""The value of the overflow label, once a metric has as many label sets as its cap allows."""

MAX_SERIES = 2_000
"""The most series that one service exposes, for any number of models."""

REGISTRY, TRAINER, EVALUATOR, DEPLOYER, GATEWAY = "registry", "trainer", "evaluator", "deployer", "gateway"
PORTAL = "portal"
EVERY = (REGISTRY, TRAINER, EVALUATOR, DEPLOYER, GATEWAY, PORTAL)
WORKERS = (TRAINER, EVALUATOR, DEPLOYER)

Kind = Literal["counter", "gauge", "histogram"]


class Overflow(Enum):
    """How the gauges beyond the cap are combined in the shared series."""

    SUM = "sum"
    LARGEST = "largest"


@dataclass(frozen=True, slots=True)
class Metric:
    """`name` is the name in queries. `cap` is the most label sets that a process exposes, with those of `_other`."""

    name: str
    kind: Kind
    services: tuple[str, ...]
    help: str
    labels: tuple[str, ...] = ()
    cap: int = 1
    buckets: tuple[float, ...] = ()
    overflow: Overflow = Overflow.SUM
    larger_caps: tuple[tuple[str, int], ...] = ()
    """A service and its own cap: the registry and the gateway have the most methods."""

    @property
    def overflow_labels(self) -> tuple[str, ...]:
        """The labels that get the value `_other` beyond the cap."""
        return tuple(label for label in self.labels if label in ("model", "version")) or self.labels[-1:]

    @property
    def series_per_label_set(self) -> int:
        """The series of one label set. A histogram has one for each edge, and those for +Inf, the sum and the count."""
        return len(self.buckets) + 3 if self.kind == "histogram" else 1

    def cap_in(self, service: str) -> int:
        """The most label sets that one service exposes."""
        return dict(self.larger_caps).get(service, self.cap)

    def most_series_in(self, service: str) -> int:
        """The most series that this metric adds to one service."""
        return self.cap_in(service) * self.series_per_label_set
