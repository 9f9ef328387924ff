"""W3C Trace Context: the `traceparent` that connects the work of many processes to the event that started it.

The ids are always passed on. tracing.py makes spans of them when an endpoint for spans is set.
"""

import re
import secrets
from typing import NamedTuple

HEADER = "traceparent"
SAMPLED = 0x01
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_KNOWN_VERSION = "00"
_INVALID_VERSION = "ff"


class TraceContext(NamedTuple):
    """One span of one trace: the parent of the work that continues it."""

    trace_id: str
    span_id: str
    flags: int = SAMPLED

    @property
    def trace_parent(self) -> str:
        """The context as the value of the header."""
        return f"{_KNOWN_VERSION}-{self.trace_id}-{self.span_id}-{self.flags & SAMPLED:02x}"


def parse_trace_parent(text: str) -> TraceContext | None:
    """The context in a `traceparent`; None when it is invalid by the W3C recommendation.

    A later version is read like this one, if a dash separates its additional fields.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    version, trace_id, span_id, flags, rest = found.groups()
    if version == _INVALID_VERSION or (version == _KNOWN_VERSION and rest is not None):
        return None
    if not trace_id.strip("0") or not span_id.strip("0"):
        return None
    return TraceContext(trace_id, span_id, int(flags, 16))


def new_trace() -> TraceContext:
    """A new trace that begins here."""
    return TraceContext(secrets.token_hex(16), secrets.token_hex(8))
