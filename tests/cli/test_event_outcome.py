"""The rules for the outcome of an event, and how `headgate event status` prints it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from headgate.cli.event_outcome import Status, accepted_fact, decide, newest_refusal
from headgate.dead_letters.letters import Summary
from headgate.domain.names import MAX_ID, event_command_id
from headgate.lifecycle.stream import new_stream, record_of
from headgate.log import topics
from headgate.log.envelope import digest
from headgate.log.open import open_log
from headgate.log.port import Message, Record
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from tests.cli.test_event import EVENT, log_url, run

__all__ = ["log_url", "run"]

FACT = facts.LifecycleRecord(command_id="my-ci|42")
REFUSAL = commands.Refusal(command_id="my-ci|42", code="already-exists")


def record(value: bytes, offset: int = 0) -> Record:
    return Record(topics.LIFECYCLE, 3, offset, 1, b"", value, ())


def letter(offset: int) -> Summary:
    return Summary((0, 1), 1, topics.INBOX, 3, offset, "registry", "bad-data", "no JSON", 2)


@pytest.mark.parametrize("is_only_copy", [True, False])
@pytest.mark.parametrize(
    ("committed", "fact", "refusal", "letters", "status"),
    [
        (5, None, None, {}, Status.NOT_READ),
        (0, None, None, {}, Status.NOT_READ),
        (6, None, None, {}, Status.UNKNOWN),
        (6, FACT, REFUSAL, {(3, 5): letter(5)}, Status.ACCEPTED),
        (0, FACT, None, {}, Status.ACCEPTED),
        (6, None, REFUSAL, {}, Status.REFUSED),
        (6, None, None, {(3, 5): letter(5)}, Status.BURIED),
        (6, None, REFUSAL, {(3, 5): letter(5)}, Status.BURIED),
    ],
)
def test_a_fact_is_final_then_the_newest_copy_counts(
    committed: int,
    fact: facts.LifecycleRecord | None,
    refusal: commands.Refusal | None,
    letters: dict[tuple[int, int], Summary],
    status: Status,
    is_only_copy: bool,
) -> None:
    newest = record(b"", offset=5)
    assert decide(newest, committed, fact, refusal, letters, is_only_copy).status is status


@pytest.mark.parametrize(("is_only_copy", "status"), [(True, Status.REFUSED), (False, Status.NOT_READ)])
def test_a_refusal_of_an_earlier_copy_is_not_the_outcome_of_one_that_waits(is_only_copy: bool, status: Status) -> None:
    assert decide(record(b"", offset=5), 5, None, REFUSAL, {}, is_only_copy).status is status


def test_a_void_record_is_no_outcome() -> None:
    stream = new_stream("models/fraud")
    assert stream is not None
    winner, loser, after = (
        commands.Command(command_id=id_, stream="models/fraud") for id_ in ("other", "my-ci|42", "my-ci|42")
    )
    first = record_of(winner, facts.ModelCreated(), stream, 1)
    void = record_of(loser, facts.VersionCreated(version=1), stream, 1)
    stream.sequence, stream.digest = 1, digest(first.SerializeToString())
    second = record_of(after, facts.VersionCreated(version=2), stream, 2)
    values = [first, void, second]
    found = accepted_fact(iter([record(each.SerializeToString()) for each in values]), "my-ci|42")
    assert found == second
    assert accepted_fact(iter([record(each.SerializeToString()) for each in values[:2]]), "my-ci|42") is None
    assert accepted_fact(iter([record(b"\xff\xff")]), "my-ci|42") is None


def test_the_newest_refusal_counts_and_one_of_a_long_id_is_found_by_its_begin() -> None:
    id_ = event_command_id("my-ci", "x" * 300)
    refusals = [
        commands.Refusal(command_id=id_[:MAX_ID], code=code, refused_at_ms=at_ms)
        for code, at_ms in (("first", 1), ("newest", 3), ("second", 2))
    ]
    records = [record(each.SerializeToString()) for each in refusals]
    found = newest_refusal(iter([record(b"\xff\xff"), *records]), id_)
    assert found is not None
    assert found.code == "newest"
    assert newest_refusal(iter(records), "my-ci|other") is None


def test_the_status_of_an_event_is_printed_with_the_next_command(
    run: Callable[..., int], log_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("merged.json").write_text(json.dumps(EVENT))
    assert run("event", "send", "merged.json") == 0
    assert capsys.readouterr().out == "42\n"
    assert run("event", "status", "42", "-o", "json") == 0
    printed = capsys.readouterr()
    shown = json.loads(printed.out)
    assert (shown["status"], shown["waiting"], shown["version"]) == ("not read yet", "0 records before it", "")
    assert "`headgate doctor` shows whether one runs" in printed.err

    log = open_log(log_url)
    refusal = commands.Refusal(command_id="my-ci|42", code="invalid-argument", message="commit is a branch")
    log.append(Message(topics.REFUSALS, b"models/fraud", refusal.SerializeToString()))
    log.close()
    assert run("event", "status", "42") == 1
    printed = capsys.readouterr()
    assert "refused" in printed.out
    assert "commit is a branch" in printed.out
    assert "headgate publish --again" in printed.err


def test_an_event_whose_version_exists_already_is_no_failure(
    run: Callable[..., int], log_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("merged.json").write_text(json.dumps(EVENT))
    assert run("event", "send", "merged.json") == 0
    log = open_log(log_url)
    log.append(Message(topics.REFUSALS, b"models/fraud", REFUSAL.SerializeToString()))
    log.close()
    assert run("event", "status", "42") == 0
    assert "nothing is to be done" in capsys.readouterr().err


def test_an_event_that_is_not_there_gives_exit_code_3_and_the_limit_of_the_search(
    run: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("event", "status", "43", "--records", "7") == 3
    assert "no event with the id '43' is among the newest 7 records of each partition" in capsys.readouterr().err


def test_an_id_of_two_sources_needs_the_source(run: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    for source in ("my-ci", "your-ci"):
        Path("merged.json").write_text(json.dumps({**EVENT, "source": source}))
        assert run("event", "merged.json") == 0
    assert run("event", "status", "42") == 2
    assert "give one with --source: my-ci, your-ci" in capsys.readouterr().err
    assert run("event", "status", "42", "--source", "your-ci") == 0
    assert "your-ci" in capsys.readouterr().out
