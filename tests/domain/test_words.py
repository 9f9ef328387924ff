"""Words for people: a number agrees with its noun, and bytes that are no text are named with their place."""

import pytest

from headgate.domain.utf8 import not_utf8
from headgate.domain.words import counted


@pytest.mark.parametrize(
    ("count", "noun", "text"),
    [
        (0, "stream", "0 streams"),
        (1, "more candidate key", "1 more candidate key"),
        (2, "void record", "2 void records"),
    ],
)
def test_a_noun_agrees_with_its_number(count: int, noun: str, text: str) -> None:
    assert counted(count, noun) == text


def test_bytes_that_are_not_utf_8_are_named_with_the_first_wrong_byte_and_its_line() -> None:
    with pytest.raises(UnicodeDecodeError) as refused:
        b"one\ntwo \xff\n\xfe".decode()
    assert not_utf8(refused.value) == "expected text in UTF-8, got the byte 0xff in line 2"
