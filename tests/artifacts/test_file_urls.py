"""A path survives its way through a URL, whatever characters it has."""

from pathlib import Path

import pytest

from headgate.artifacts.file_urls import path_of
from headgate.artifacts.store import open_store
from headgate.log import topics
from headgate.log.open import embedded_address, embedded_path, open_log

NAMES = ["a b", "100%", "a%20b", "c#1", "what?", "a;b&c=d", "p@ss:word", "x\\y", "J\u00f6rg", "new\nline"]


@pytest.mark.parametrize("name", NAMES)
def test_the_path_of_a_file_url_is_the_path_that_it_was_made_of(name: str) -> None:
    assert path_of(Path("/srv", name).as_uri()) == Path("/srv", name)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "new\nline"])
def test_an_artifact_is_stored_below_the_directory_of_its_url(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    sha256 = open_store(directory.as_uri()).put(b"weights")
    assert (directory / "blobs" / sha256[:2] / sha256).read_bytes() == b"weights"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("file:///models#2", "is written as %3F and # as %23"),
        ("file:///models?", "is written as %3F and # as %23"),
        ("file://models", "begins after three slashes"),
        ("file:models", "begins after three slashes"),
    ],
)
def test_a_url_that_names_no_path_or_only_a_part_of_one_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        path_of(url)


@pytest.mark.parametrize("name", NAMES)
def test_an_embedded_log_is_the_file_of_its_address(tmp_path: Path, name: str) -> None:
    file = tmp_path / name / "log.db"
    address = embedded_address(file)
    assert embedded_path(address) == file
    log = open_log(address)
    log.create_topics(topics.TOPICS)
    log.close()
    assert file.is_file()
