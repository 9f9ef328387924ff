"""An error about one model, release or version stops that one only: it takes the place of its result."""

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from headgate.runtime.observability.metrics import Metrics, Reading

UNDECIDABLE = "headgate_undecidable"

logger = logging.getLogger(__name__)
Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Undecidable:
    """Nothing can be decided about a subject of a stream, for example releases/3; empty for the stream as a whole."""

    stream: str
    subject: str
    error: Exception

    @property
    def name(self) -> str:
        """The resource's name."""
        return f"{self.stream}/{self.subject}" if self.subject else self.stream

    @property
    def reason(self) -> str:
        """The error in a sentence."""
        return f"{type(self.error).__name__}: {self.error}"


def isolated(
    stream: str,
    subject: str,
    decide: Callable[Arguments, Iterable[Result]],
    *arguments: Arguments.args,
    **named: Arguments.kwargs,
) -> Iterator[Result | Undecidable]:
    """What `decide` gives about the subject; the error in place of all of it when it raises one."""
    try:
        yield from list(decide(*arguments, **named))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other subjects go on and this one is reported
        yield Undecidable(stream, subject, error)


class UndecidableReport:
    """Reports each error once while it lasts: as a line in the log, and counted in a metric. For one thread."""

    def __init__(self, metrics: Metrics) -> None:
        self._reported: dict[str, str] = {}
        metrics.read_at_scrape([UNDECIDABLE], lambda: [Reading(UNDECIDABLE, (), len(self._reported))])

    def report(self, found: Iterable[Undecidable]) -> None:
        """All that cannot be decided now; what was reported before and is not among them is decidable again."""
        now = {each.name: each for each in found}
        for name, each in now.items():
            if self._reported.get(name) != each.reason:
                about = {"subject": name}
                logger.error("nothing can be decided about it; others go on", exc_info=each.error, extra=about)
        self._reported = {name: each.reason for name, each in now.items()}
