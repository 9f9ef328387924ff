"""Environments are built once and kept within limits; one that is in use stays, whichever trainer uses it."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from services.trainer.packages.kept import Kept, size_of
from services.trainer.programs.processes import Stopped

NEVER = threading.Event()


def writes(text: str = "x", builds: list[str] | None = None) -> Callable[[Path], None]:
    def build(new: Path) -> None:
        (new / "package.py").write_text(text)
        if builds is not None:
            builds.append(text)

    return build


def kept(directory: Path, count: int = 9, size: int = 1000) -> Kept:
    return Kept(directory, count, size)


def names(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.iterdir())


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def use(environments: Kept, key: str, text: str = "x", used_at: int = 0) -> None:
    with environments.use(key, writes(text), NEVER):
        pass
    os.utime(environments.directory / f"{key}.lock", (used_at, used_at))


def test_an_environment_is_built_once(tmp_path: Path) -> None:
    builds: list[str] = []
    for environments in (kept(tmp_path), kept(tmp_path)):
        with environments.use("a", writes("made", builds), NEVER) as place:
            assert (place / "package.py").read_text() == "made"
    assert builds == ["made"]


def test_a_build_that_fails_leaves_nothing_and_is_tried_again(tmp_path: Path) -> None:
    def fails(new: Path) -> None:
        (new / "half.py").write_text("x")
        raise ValueError("no such package")

    with pytest.raises(ValueError, match="no such package"), kept(tmp_path).use("a", fails, NEVER):
        pass
    assert names(tmp_path) == ["a.lock"]
    use(kept(tmp_path), "a")
    assert names(tmp_path) == ["a", "a.lock"]


def test_the_one_that_was_not_used_for_the_longest_time_leaves(tmp_path: Path) -> None:
    environments = kept(tmp_path, count=2)
    for used_at, key in enumerate(("a", "b"), start=1):
        use(environments, key, used_at=used_at)
    use(environments, "a", used_at=3)
    use(environments, "c", used_at=4)
    assert names(tmp_path) == ["a", "a.lock", "c", "c.lock"]


def test_the_bytes_have_a_limit_too(tmp_path: Path) -> None:
    environments = kept(tmp_path, size=25)
    for used_at, key in enumerate("abc", start=1):
        use(environments, key, "0123456789", used_at=used_at)
    assert names(tmp_path) == ["b", "b.lock", "c", "c.lock"]


def test_one_that_another_trainer_uses_stays_and_is_removed_afterwards(tmp_path: Path) -> None:
    one, other = kept(tmp_path, count=1), kept(tmp_path, count=1)
    with one.use("a", writes(), NEVER) as place:
        use(other, "b")
        assert (place / "package.py").exists()
    use(other, "c")
    assert names(tmp_path) == ["c", "c.lock"]


def test_two_trainers_use_one_environment_at_the_same_time(tmp_path: Path, stack: ExitStack) -> None:
    places = [stack.enter_context(kept(tmp_path).use("a", writes(), NEVER)) for _ in range(2)]
    assert places[0] == places[1]


def test_a_trainer_waits_for_the_build_of_another_one(tmp_path: Path) -> None:
    begun, go_on, builds = threading.Event(), threading.Event(), []

    def slow(new: Path) -> None:
        begun.set()
        assert go_on.wait(60)
        writes("slow", builds)(new)

    def build_slowly() -> None:
        with kept(tmp_path).use("a", slow, NEVER):
            pass

    first = threading.Thread(target=build_slowly)
    first.start()
    assert begun.wait(60)
    stop = threading.Event()
    stop.set()
    with pytest.raises(Stopped), kept(tmp_path).use("a", writes("quick", builds), stop):
        pass
    go_on.set()
    with kept(tmp_path).use("a", writes("quick", builds), NEVER):
        pass
    first.join()
    assert builds == ["slow"]


def test_what_a_killed_trainer_left_is_removed(tmp_path: Path) -> None:
    for remains in ("a.new", "b.old"):
        (tmp_path / remains).mkdir()
    use(kept(tmp_path), "c")
    assert names(tmp_path) == ["c", "c.lock"]


def test_a_file_with_two_names_counts_once(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("0123456789")
    os.link(tmp_path / "one", tmp_path / "two")
    assert size_of(tmp_path) == 10
