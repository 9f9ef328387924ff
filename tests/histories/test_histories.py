"""Recorded histories fold to the same state for ever (invariant I4). New ones are recorded with the real rules."""

from pathlib import Path

import pytest

from headgate.domain.fact import FIELD_OF
from headgate.lifecycle.stream import parse
from tests.histories import __main__ as recording
from tests.histories import history as histories
from tests.histories.__main__ import main
from tests.histories.history import FOLDER, Entry, ending_of, read, write
from tests.histories.recorder import new_recorder
from tests.histories.stories import CHURN, STORIES

RECORDED = sorted(FOLDER.glob("*.jsonl"))


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_a_history_folds_to_the_recorded_result(path: Path) -> None:
    history = read(path)
    assert ending_of(history.entries) == history.ending


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_order_of_the_partitions_does_not_change_the_result(path: Path) -> None:
    history = read(path)
    other_way = ending_of(sorted(history.entries, key=lambda entry: -entry.partition))
    assert (other_way.streams, other_way.void_records) == (history.ending.streams, history.ending.void_records)
    assert set(other_way.faults) == set(history.ending.faults)


def test_every_kind_of_fact_is_in_a_history() -> None:
    records = [parse(entry.value) for path in RECORDED for entry in read(path).entries]
    kinds = {record.WhichOneof("fact") for record in records if record is not None}
    assert kinds >= set(FIELD_OF.values()), "record a history that holds it: see CONTRIBUTING.md"


def test_every_fault_of_a_void_record_is_in_a_history() -> None:
    faults = [fault.split()[1] for path in RECORDED for fault in read(path).ending.faults]
    assert set(faults) == {"not-a-fact", "not-a-link", "illegal-fact", "stream-stopped"}
    assert sum(read(path).ending.void_records for path in RECORDED) > len(faults) - faults.count("illegal-fact")


def test_a_changed_value_changes_the_digests() -> None:
    history = read(FOLDER / "canary_promoted.jsonl")
    last = history.entries[-1]
    changed = ending_of([*history.entries[:-1], last._replace(value=last.value + b"\xd2\x3e\x02hi")])
    assert changed != history.ending


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which this test records histories."""
    monkeypatch.setattr(recording, "FOLDER", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", sorted(STORIES))
def test_a_new_history_is_read_back_with_the_result_of_its_fold(name: str, folder: Path) -> None:
    main(name)
    history = read(folder / f"{name}.jsonl")
    assert history.entries
    assert ending_of(history.entries) == history.ending
    with pytest.raises(FileExistsError):
        main(name)


def test_a_history_of_a_log_has_the_given_streams_or_all(folder: Path, tmp_path: Path) -> None:
    with new_recorder(tmp_path) as (recorder, _):
        STORIES["void_and_forged"](recorder)
    main("churn", f"sqlite://{tmp_path}/log.db", "What it shows", CHURN)
    main("everything", f"sqlite://{tmp_path}/log.db", "What it shows")
    churn, everything = read(folder / "churn.jsonl"), read(folder / "everything.jsonl")
    assert (churn.about, [stream.stream for stream in churn.ending.streams]) == ("What it shows", [CHURN])
    assert set(churn.entries) < set(everything.entries)


def test_a_history_that_is_too_large_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(histories, "MAX_BYTES", 100)
    with pytest.raises(ValueError, match="name the streams it needs"):
        write(tmp_path / "large.jsonl", "too much", [Entry(0, 0, bytes(100))])
    assert not list(tmp_path.iterdir())
