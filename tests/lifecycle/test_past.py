"""The past of a log is what its readers saw then, at every moment and of every kind of fact."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.lifecycle import past as past_module
from headgate.lifecycle import past_states
from headgate.lifecycle.digest import state_digest
from headgate.lifecycle.fold import Fold
from headgate.lifecycle.follower import LifecycleFold
from headgate.lifecycle.moment import AtPositions, AtSequence, AtTime, Moment, sequence_at
from headgate.lifecycle.past import FactsLimit, Past, Then
from headgate.lifecycle.past_states import KeptStates, PastState, first_state
from headgate.lifecycle.stream import Stream, new_stream
from headgate.log import topics
from headgate.log.export_file import write
from headgate.log.open import open_log
from headgate.log.port import Record
from tests.histories.history import FOLDER, Entry, read
from tests.waiting import PATIENCE_SECONDS

RECORDED = sorted(FOLDER.glob("*.jsonl"))
FRAUD = "models/fraud"
Digests = dict[str, bytes]


@contextmanager
def past_of(entries: list[Entry], folder: Path) -> Iterator[Past]:
    """The past over the exported file of these records, without any service."""
    records = [Record(topics.LIFECYCLE, each.partition, each.offset, 0, b"", each.value, ()) for each in entries]
    with (folder / "facts.jsonl").open("wb") as file:
        write(file, topics.LIFECYCLE, records)
    log = open_log(f"file:{folder}/facts.jsonl")
    fold = LifecycleFold(log)
    fold.start()
    assert fold.wait_caught_up(PATIENCE_SECONDS)
    yield Past(log, fold)
    fold.close()
    log.close()


def digests_of(then: Then) -> Digests:
    """The state of every stream at that moment."""
    states = {name: then.state_of(name) for name in then.sequences}
    return {name: state_digest(Stream(name, state)) for name, state in states.items() if state is not None}


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_the_past_at_each_position_and_sequence_is_the_state_that_a_reader_saw_then(path: Path, tmp_path: Path) -> None:
    entries = sorted(read(path).entries)
    fold, seen = Fold(), []
    for entry in entries:
        accepted = fold.fold(*entry)
        if accepted is not None:
            seen.append((dict(fold.accepted), {name: state_digest(each) for name, each in fold.streams.items()}))
            assert accepted.sequence == fold.streams[accepted.stream].sequence
    with past_of(entries, tmp_path) as past:
        for positions, digests in [*seen, *reversed(seen)]:
            assert digests_of(past.at(AtPositions(positions))) == digests
        assert digests_of(past.at(AtPositions({}))) == {}


@pytest.mark.parametrize("every", [1, 3])
def test_states_that_are_kept_on_the_way_change_no_answer(
    every: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(past_states, "KEPT_EVERY_FACTS", every)
    entries = sorted(read(FOLDER / "canary_promoted.jsonl").entries)
    fold = Fold()
    with past_of(entries, tmp_path) as past:
        last = max(past.sequences(AtTime(1 << 60)).items(), key=lambda each: each[1])[0]
        seen: dict[int, bytes] = {}
        for entry in entries:
            accepted = fold.fold(*entry)
            if accepted is not None and accepted.stream == last:
                seen[accepted.sequence] = state_digest(fold.streams[last])
        for sequence in [*reversed(seen), *seen]:
            state = past.at(AtSequence(sequence)).state_of(last)
            assert state is not None
            assert state_digest(Stream(last, state)) == seen[sequence]


times = st.lists(st.integers(0, 50), min_size=1, max_size=20)


@given(times)
def test_a_time_includes_a_fact_when_its_own_time_and_those_before_it_have_come(at_ms: list[int]) -> None:
    stream = new_stream(FRAUD)
    assert stream is not None
    latest = [max(at_ms[: number + 1]) for number in range(len(at_ms))]
    stream.sequence, stream.partition = len(at_ms), 4
    stream.times_ms.extend(latest)
    stream.offsets.extend(range(10, 10 + 2 * len(at_ms), 2))
    for time_ms in range(-1, 52):
        included = sequence_at(stream, AtTime(time_ms))
        assert all(each <= time_ms for each in at_ms[:included])
        assert included == len(at_ms) or max(at_ms[: included + 1]) > time_ms
    for offset in range(8, 12 + 2 * len(at_ms)):
        included = sequence_at(stream, AtPositions({4: offset, 3: 99}))
        assert included == sum(each <= offset for each in stream.offsets)
    assert sequence_at(stream, AtPositions({3: 99})) == 0
    moments: list[Moment] = [AtSequence(-1), AtSequence(0), AtSequence(1), AtSequence(99)]
    assert [sequence_at(stream, each) for each in moments] == [0, 0, 1, len(at_ms)]


def test_the_facts_of_all_streams_are_listed_by_time_with_what_each_says(tmp_path: Path) -> None:
    with past_of(sorted(read(FOLDER / "void_and_forged.jsonl").entries), tmp_path) as past:
        facts = past.facts()
        assert [each.time_ms for each in facts] == sorted(each.time_ms for each in facts)
        assert past.span() == (facts[0].time_ms, facts[-1].time_ms)
        for fact in facts:
            (found,) = past.records(fact.stream, fact.sequence - 1, fact.sequence)
            assert found.place == (fact.partition, fact.offset)
            assert (found.record.stream, found.record.sequence) == (fact.stream, fact.sequence)
        assert past.facts(facts[0].stream) == [each for each in facts if each.stream == facts[0].stream]
        assert past.facts("models/none") == []


def test_a_read_that_would_fold_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with past_of(sorted(read(FOLDER / "canary_promoted.jsonl").entries), tmp_path) as past:
        monkeypatch.setattr(past_module, "MAX_FACTS", 3)
        then = past.at(AtSequence(5))
        with pytest.raises(FactsLimit, match="more than 3 facts"):
            list(then.models())


def test_kept_states_give_way_at_their_limit_and_the_nearest_one_is_found() -> None:
    kept = KeptStates(max_bytes=3 * past_states.STATE_BYTES)
    empty = first_state(FRAUD).state
    for sequence in (10, 30, 20):
        kept.keep(FRAUD, PastState(sequence, empty))
    found = [kept.newest(FRAUD, sequence) for sequence in (9, 15, 29, 99)]
    assert [each.sequence if each else 0 for each in found] == [0, 10, 20, 30]
    kept.keep("models/churn", PastState(1, empty))
    assert kept.newest(FRAUD, 19) is None
    kept.keep("models/large", PastState(1, empty, False))
    assert kept.newest("models/large", 1) is not None
