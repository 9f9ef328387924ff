"""One line and one span for each unit of work: a call, a command, an event, a piece of work, a load.

What is noted while the unit is under way stands in its line, and in every other line logged meanwhile.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from headgate.runtime.observability import tracing
from headgate.runtime.observability.trace_context import TraceContext, parse_trace_parent
from headgate.runtime.observability.tracing import Kind

OK = "ok"
ERROR = "error"
Value = str | int

_KINDS = {"rpc": Kind.SERVER, "command": Kind.CONSUMER, "event": Kind.CONSUMER, "issue": Kind.PRODUCER}
_current: ContextVar["Unit | None"] = ContextVar("headgate_unit", default=None)
_logger = logging.getLogger("headgate.work")


class Unit:
    """A unit of work under way. `end` is called once; until then `note` and `outcome` may change what it says."""

    def __init__(self, unit: str, what: str, parent: TraceContext | None, **fields: Value) -> None:
        self.outcome = OK
        self.code = ""
        self._name = f"{unit} {what}"
        self._fields: dict[str, Value] = {"unit": unit, "what": what}
        self.note(**fields)
        self._started = time.perf_counter()
        self._span = tracing.begin(self._name, _KINDS.get(unit, Kind.INTERNAL), parent, self._fields)

    @property
    def context(self) -> TraceContext | None:
        """What whoever continues this work has as its parent."""
        return self._span.context

    def note(self, **fields: Value) -> None:
        """Adds to the line; what is empty is left out."""
        self._fields.update({name: value for name, value in fields.items() if value != ""})

    def fields(self) -> dict[str, Value]:
        """What is known so far, with the trace's id."""
        context = self.context
        return {**self._fields, **({"trace_id": context.trace_id} if context is not None else {})}

    def end(self, error: BaseException | None = None) -> None:
        """Writes the line and ends the span."""
        if error is not None and self.outcome == OK:
            self.outcome, self.code = ERROR, type(error).__name__
        ended: dict[str, Value] = {"outcome": self.outcome, **({"code": self.code} if self.code else {})}
        duration_ms = round((time.perf_counter() - self._started) * 1000, 3)
        self._span.end({**self._fields, **ended}, self.code if self.outcome == ERROR else "")
        level = logging.ERROR if self.outcome == ERROR else logging.INFO
        line = {**self.fields(), **ended, "duration_ms": duration_ms}
        _logger.log(level, "%s: %s", self._name, self.outcome, extra=line)


@contextmanager
def unit_of_work(unit: str, what: str, trace_parent: str = "", **fields: Value) -> Iterator[Unit]:
    """Logs the work once, at its end, and makes it a span below `trace_parent`, else below the unit around it."""
    around = _current.get()
    parent = trace_of(trace_parent) or (around.context if around is not None else None)
    begun = Unit(unit, what, parent, **fields)
    token = _current.set(begun)
    try:
        yield begun
    except BaseException as error:
        begun.end(error)
        raise
    else:
        begun.end()
    finally:
        _current.reset(token)


def trace_of(trace_parent: str) -> TraceContext | None:
    """The context to continue; None when there is none, and counted when what there is cannot be one."""
    context = parse_trace_parent(trace_parent)
    if trace_parent and context is None:
        _count_invalid()
    return context


def count_invalid_by(count: Callable[[], object]) -> None:
    """Calls `count` for each traceparent from now on that is none: it is ignored, and nothing else is."""
    global _count_invalid
    _count_invalid = count


def _nobody() -> None:
    """Nobody counts yet."""


_count_invalid: Callable[[], object] = _nobody


def note(**fields: Value) -> None:
    """Adds to the line of the unit under way in this thread, if there is one."""
    unit = _current.get()
    if unit is not None:
        unit.note(**fields)


def ends(outcome: str, code: str = "") -> None:
    """Says how the unit under way in this thread comes out, if there is one."""
    unit = _current.get()
    if unit is not None:
        unit.outcome, unit.code = outcome, code


def current_trace_parent() -> str:
    """What a command that is sent from this unit has as its parent; empty outside of a trace."""
    unit = _current.get()
    context = unit.context if unit is not None else None
    return context.trace_parent if context is not None else ""


def fields_under_way() -> Mapping[str, Value]:
    """What is known of the unit under way in this thread."""
    unit = _current.get()
    return unit.fields() if unit is not None else {}
