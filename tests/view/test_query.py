"""Orders, pages and page tokens."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.view.fields import Kind
from headgate.view.filter import BadQuery
from headgate.view.query import Key, new_query, page_token


@given(st.floats(allow_nan=False), st.from_regex(r"[a-z0-9_-]{1,20}/[0-9]{10}", fullmatch=True))
def test_a_token_continues_after_its_key(value: float, id_: str) -> None:
    query = new_query(Kind.VERSION, filter_text="version > 2")
    token = page_token(query, Key(value, id_))
    assert new_query(Kind.VERSION, filter_text="version > 2", page_token=token).after == Key(value, id_)


@pytest.mark.parametrize(
    "other",
    [
        {"filter_text": "version > 3"},
        {"filter_text": "version > 2", "order_by": "create_time"},
        {"filter_text": "version > 2", "model": "fraud"},
    ],
)
def test_a_token_is_valid_only_for_its_filter_order_and_parent(other: dict[str, str]) -> None:
    query = new_query(Kind.VERSION, filter_text="version > 2")
    with pytest.raises(BadQuery, match="belongs to another parent, filter, order or moment") as caught:
        new_query(Kind.VERSION, **other, page_token=page_token(query, Key(1.0, "fraud/0000000001")))
    assert caught.value.field == "page_token"


@pytest.mark.parametrize("body", ['["x",' + "9" * 400 + ',"y"]', "[" * 740, '["x",[],"y"]', '{"a":1}', "null"])
def test_a_forged_token_is_refused(body: str) -> None:
    token = base64.urlsafe_b64encode(body.encode()).decode().rstrip("=")
    with pytest.raises(BadQuery) as caught:
        new_query(Kind.MODEL, page_token=token)
    assert caught.value.field == "page_token"


@given(st.text(min_size=1, max_size=80) | st.binary(max_size=60).map(lambda b: base64.urlsafe_b64encode(b).decode()))
def test_any_other_text_is_refused_as_a_token(token: str) -> None:
    if token:
        with pytest.raises(BadQuery) as caught:
            new_query(Kind.MODEL, page_token=token)
        assert caught.value.field == "page_token"


@pytest.mark.parametrize("order", ["colour", "name up", "name, version", "tags.team", "metrics", "name " * 100])
def test_an_invalid_order_is_refused_with_the_valid_ones(order: str) -> None:
    with pytest.raises(BadQuery, match=r"expected one of name, version, metrics\.KEY, create_time") as caught:
        new_query(Kind.VERSION, order_by=order)
    assert caught.value.field == "order_by"


def test_a_negative_page_size_is_refused() -> None:
    with pytest.raises(BadQuery, match="expected 0 or more"):
        new_query(Kind.MODEL, page_size=-1)
