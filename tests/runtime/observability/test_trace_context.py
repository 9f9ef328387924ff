"""`traceparent` by W3C Trace Context: valid ones are continued, invalid ones are ignored."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.runtime.observability.trace_context import TraceContext, new_trace, parse_trace_parent

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
hexadecimal = st.text("0123456789abcdef")


@pytest.mark.parametrize(
    ("text", "context"),
    [
        (f"00-{TRACE}-{SPAN}-01", TraceContext(TRACE, SPAN, 1)),
        (f"00-{TRACE}-{SPAN}-00", TraceContext(TRACE, SPAN, 0)),
        (f"00-{TRACE}-{SPAN}-ff", TraceContext(TRACE, SPAN, 255)),
        (f"cc-{TRACE}-{SPAN}-01", TraceContext(TRACE, SPAN, 1)),
        (f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be-like", TraceContext(TRACE, SPAN, 1)),
    ],
)
def test_a_valid_parent_is_parsed(text: str, context: TraceContext) -> None:
    assert parse_trace_parent(text) == context


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}-01.",
        f"cc-{TRACE}-{SPAN}-01.what",
        f"00-{TRACE}-{SPAN}-1",
        f"00-{TRACE}-{SPAN}",
        f"0-{TRACE}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE[:-1]}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-0x",
        f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01\n",
        f"00_{TRACE}_{SPAN}_01",
        f"\uff10\uff10-{TRACE}-{SPAN}-01",
    ],
)
def test_an_invalid_parent_gives_none(text: str) -> None:
    assert parse_trace_parent(text) is None


@given(text=st.one_of(st.text(), st.builds("{}-{}-{}-{}".format, hexadecimal, hexadecimal, hexadecimal, hexadecimal)))
def test_every_parsed_context_is_written_in_the_form_of_the_recommendation(text: str) -> None:
    context = parse_trace_parent(text)
    if context is not None:
        assert re.fullmatch("00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]", context.trace_parent)
        assert parse_trace_parent(context.trace_parent) == context._replace(flags=context.flags & 1)


def test_a_new_trace_is_valid_and_unique() -> None:
    first, second = new_trace(), new_trace()
    assert parse_trace_parent(first.trace_parent) == first
    assert first.trace_id != second.trace_id
