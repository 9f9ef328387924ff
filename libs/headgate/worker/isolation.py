"""Isolates errors: an error about one model, release or version replaces its result and stops no other one."""

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
    """An error: nothing can be decided about this subject of a stream, for example releases/3.

    An empty subject stands for the whole stream.
    """

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
    """Yields the results of `decide` about the subject. When it raises an error, yields only an Undecidable."""
    try:
        yield from list(decide(*arguments, **named))
    except Exception as error:  # noqa: BLE001  # any error is reported, and the other subjects go on
        yield Undecidable(stream, subject, error)


class UndecidableReport:
    """Logs each error once while it lasts, and counts the present ones in a metric. For use by one thread."""

    def __init__(self, metrics: Metrics) -> None:
        self._reported: dict[str, str] = {}
        metrics.read_at_scrape([UNDECIDABLE], lambda: [Reading(UNDECIDABLE, (), len(self._reported))])

    def report(self, found: Iterable[Undecidable]) -> None:
        """Takes everything that is undecidable now. What was reported before and is missing now is decidable again."""
        now = {each.name: each for each in found}
        for name, each in now.items():
            if self._reported.get(name) != each.reason:
                about = {"subject": name}
                logger.error("nothing can be decided about this subject", exc_info=each.error, extra=about)
        self._reported = {name: each.reason for name, each in now.items()}
