"""One log line and one span for each unit of work: a call, a command, an event, an issued command, an attempt, a load.

Fields that are noted during the unit are part of its line, and of every other line logged during the unit.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar

from headgate.runtime.observability import tracing
from headgate.runtime.observability.span import Kind
from headgate.runtime.observability.trace_context import TraceContext, parse_trace_parent

OK = "ok"
ERROR = "error"
Value = str | int

_KINDS = {"rpc": Kind.SERVER, "command": Kind.CONSUMER, "event": Kind.CONSUMER, "issue": Kind.PRODUCER}
_current: ContextVar["Unit | None"] = ContextVar("headgate_unit", default=None)
_logger = logging.getLogger("headgate.work")


class Unit:
    """A unit of work in progress. `end` is called once; until then `note` and `outcome` change its line."""

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
        """The parent of the work that continues this unit."""
        return self._span.context

    def note(self, **fields: Value) -> None:
        """Adds fields to the line. Empty ones are left out."""
        self._fields.update({name: value for name, value in fields.items() if value != ""})

    def fields(self) -> dict[str, Value]:
        """The fields so far, with the id of the trace."""
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
    """Logs the work once, at its end, and makes it a span below `trace_parent`, or else below the enclosing unit."""
    enclosing = _current.get()
    parent = trace_of(trace_parent) or (enclosing.context if enclosing is not None else None)
    current = Unit(unit, what, parent, **fields)
    token = _current.set(current)
    try:
        yield current
    except BaseException as error:
        current.end(error)
        raise
    else:
        current.end()
    finally:
        _current.reset(token)


def trace_of(trace_parent: str) -> TraceContext | None:
    """The context to continue; None when the text holds none. An invalid text is counted."""
    context = parse_trace_parent(trace_parent)
    if trace_parent and context is None:
        _count_invalid()
    return context


def count_invalid_by(count: Callable[[], object]) -> None:
    """Makes `count` the function that is called for each invalid traceparent. Only the traceparent is ignored."""
    global _count_invalid
    _count_invalid = count


def _ignore() -> None:
    """Counts nothing, until `count_invalid_by` sets a counter."""


_count_invalid: Callable[[], object] = _ignore


def note(**fields: Value) -> None:
    """Adds fields to the line of this thread's current unit, if there is one."""
    unit = _current.get()
    if unit is not None:
        unit.note(**fields)


def set_outcome(outcome: str, code: str = "") -> None:
    """Sets the outcome of this thread's current unit, if there is one."""
    unit = _current.get()
    if unit is not None:
        unit.outcome, unit.code = outcome, code


def current_trace_parent() -> str:
    """The parent for a command that this thread's current unit sends; empty outside of a trace."""
    unit = _current.get()
    context = unit.context if unit is not None else None
    return context.trace_parent if context is not None else ""


def current_fields() -> Mapping[str, Value]:
    """The fields of this thread's current unit; empty when there is none."""
    unit = _current.get()
    return unit.fields() if unit is not None else {}
