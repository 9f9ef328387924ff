"""Words for people: a number agrees with its noun, and bytes that are no text are named with their place."""

import pytest

from headgate.domain.label import standing
from headgate.domain.names import in_words
from headgate.domain.utf8 import not_utf8
from headgate.domain.words import counted, listed
from headgate.v1 import resources_pb2 as resources


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


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ((), ""),
        (("a",), "a"),
        (("a", "b"), "a and b"),
        (("a", "b", "c"), "a, b and c"),
        (tuple("abcde"), "a, b, c and 2 more"),
    ],
)
def test_a_list_in_a_sentence_is_bounded(names: tuple[str, ...], text: str) -> None:
    assert listed(names, 3) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("models/fraud", "model fraud"),
        ("models/fraud/versions/3", "version 3 of fraud"),
        ("models/fraud/releases/2", "release 2 of fraud"),
        ("models/fraud/aliases/champion", "alias champion of fraud"),
        ("environments/staging", "environment staging"),
        ("freeze eve", "freeze eve"),
    ],
)
def test_a_resource_name_reads_as_people_say_it(name: str, text: str) -> None:
    assert in_words(name) == text


def test_every_state_of_a_version_makes_a_sentence() -> None:
    version = resources.Version(name="models/bin/versions/3", label="training failed")
    assert standing(version) == "version 3 of bin: its training failed"
    version.label = "archived"
    assert standing(version) == "version 3 of bin is archived"
    assert standing(version, "passed") == "version 3 of bin has passed its gate"


def test_bytes_that_are_not_utf_8_are_named_with_the_first_wrong_byte_and_its_line() -> None:
    with pytest.raises(UnicodeDecodeError) as refused:
        b"one\ntwo \xff\n\xfe".decode()
    assert not_utf8(refused.value) == "expected text in UTF-8, got the byte 0xff in line 2"
