"""What a decision may wait for. It never waits for the log under the fold's lock, and for other commands only for a
limited time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest

from headgate.dead_letters.burials import Burials
from headgate.dead_letters.letters import Ledger
from headgate.domain.names import ACCESS_STREAM
from headgate.domain.refusal import FROZEN, Refused
from headgate.log import topics
from headgate.log.port import LogUnavailable, Message, OutcomeUnknown, Position, Record
from headgate.log.sqlite.log import SqliteLog
from headgate.runtime.observability.metrics import Metrics
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.worker.intake import Contended
from services.registry import decider as deciding
from services.registry import stream_locks
from services.registry.decider import Decided, Decider
from services.registry.handlers import InboxHandler
from tests.registry.local_decider import decider_on
from tests.registry.test_inbox import binary
from tests.registry.waiting import REPOSITORY, commit
from tests.waiting import PATIENCE_SECONDS


class BlockingLog(SqliteLog):
    """A log on which reads and appends wait until the test allows them. The answer of an append may get lost."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.reading, self.may_read = threading.Event(), threading.Event()
        self.appending, self.may_append = threading.Event(), threading.Event()
        self.may_read.set()
        self.may_append.set()
        self.answers_to_lose = 0
        self.held_back: list[Message] = []
        self.records_to_hold_back = 0
        self.deleted_before: dict[int, int] = {}

    def read(self, topic, partition, offset, limit=1000):
        self.reading.set()
        assert self.may_read.wait(PATIENCE_SECONDS)
        return super().read(topic, partition, max(offset, self.deleted_before.get(partition, 0)), limit)

    def append(self, message: Message, timeout_seconds: float = 10.0) -> Position:
        self.appending.set()
        assert self.may_append.wait(PATIENCE_SECONDS)
        if self.records_to_hold_back:
            self.records_to_hold_back -= 1
            self.held_back.append(message)
            raise OutcomeUnknown("the record is on its way")
        position = super().append(message, timeout_seconds)
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            raise OutcomeUnknown("the answer got lost")
        return position


@pytest.fixture
def parts(tmp_path: Path):
    log = BlockingLog(tmp_path / "log.db")
    with decider_on(log) as (fold, decider):
        yield log, fold, decider


def create(number: int, model: str = "fraud") -> commands.Command:
    payload = commands.CreateVersion(repository=REPOSITORY, commit=commit(number))
    return commands.Command(command_id=f"c{number}", stream=f"models/{model}", create_version=payload)


def test_reading_the_record_of_a_repeated_command_slowly_does_not_delay_other_commands(parts) -> None:
    log, fold, decider = parts
    decider.execute(create(1))
    log.may_read.clear()
    log.reading.clear()
    with ThreadPoolExecutor(1) as pool:
        repeated = pool.submit(decider.execute, create(1))
        assert log.reading.wait(PATIENCE_SECONDS)
        assert fold.lock.acquire(timeout=PATIENCE_SECONDS)
        fold.lock.release()
        assert isinstance(decider.execute(create(2, "churn")), Decided)
        log.may_read.set()
        assert isinstance(repeated.result(PATIENCE_SECONDS), Decided)


def test_what_an_event_says_is_read_without_the_folds_lock(parts) -> None:
    log, fold, decider = parts
    message = binary("1", "no object")
    record = Record(topics.INBOX, 0, 0, 1, message.key, message.value, message.headers)
    with ThreadPoolExecutor(1) as pool, fold.lock:
        pool.submit(InboxHandler(Burials(log, "registry-0"), fold, decider, authenticated=False), record).result(
            PATIENCE_SECONDS
        )
    (summary,) = Ledger(log).summaries()
    assert summary.code == "bad-data"


def test_a_command_waits_for_the_others_on_its_stream_only_for_a_limited_time(
    parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, _, decider = parts
    monkeypatch.setattr(stream_locks, "LOCK_SECONDS", 0.1)
    log.may_append.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(decider.execute, create(1))
        assert log.appending.wait(PATIENCE_SECONDS)
        with pytest.raises(Contended, match="take too long"):
            decider.execute(create(2))
        log.may_append.set()
        assert isinstance(first.result(PATIENCE_SECONDS), Decided)


def test_no_release_is_decided_while_a_grant_is_revoked_by_which_an_approval_counts(
    parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, _, decider = parts
    monkeypatch.setattr(stream_locks, "LOCK_SECONDS", 0.1)
    grant = commands.GrantRole(grant="g", subject="ada", role=facts.ROLE_APPROVER, models="*", environments="*")
    revoke = commands.Command(
        command_id="r", stream=ACCESS_STREAM, revoke_role=commands.RevokeRole(grant="g", reason="left")
    )
    start = commands.StartRelease(environment="production", candidate=1)
    decider.execute(commands.Command(command_id="g", stream=ACCESS_STREAM, grant_role=grant))
    log.appending.clear()
    log.may_append.clear()
    with ThreadPoolExecutor(1) as pool:
        revoked = pool.submit(decider.execute, revoke)
        assert log.appending.wait(PATIENCE_SECONDS)
        with pytest.raises(Contended):
            decider.execute(commands.Command(command_id="s", stream="models/fraud", start_release=start))
        log.may_append.set()
        assert isinstance(revoked.result(PATIENCE_SECONDS), Decided)


def test_a_record_whose_append_got_no_answer_is_found_by_its_event_id_and_not_written_again(parts) -> None:
    log, fold, decider = parts
    log.answers_to_lose = 1
    outcome = decider.execute(create(1))
    assert isinstance(outcome, Decided)
    assert outcome.record is not None
    assert (outcome.record.sequence, fold.void_records) == (1, 0)
    assert sum(log.end(topics.LIFECYCLE).values()) == 1


def test_a_command_is_not_refused_while_its_record_may_still_arrive(parts) -> None:
    log, fold, _ = parts
    times = iter([1, 2_000, 3_000])
    decider = Decider(log, fold, lambda: next(times), Metrics("registry"))
    denied = []

    def decide(*decided_on, real=deciding.models.decide):
        at_ms = decided_on[2]
        denied.append(at_ms > 1)
        return Refused(FROZEN, "nothing is changed in a freeze", "frozen", "") if at_ms > 1 else real(*decided_on)

    log.records_to_hold_back = 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deciding.models, "decide", decide)
        with pytest.raises(LogUnavailable, match="send the same request again"):
            decider.execute(create(1))
    assert denied == [False, True]
    log.append(log.held_back.pop())
    decider._catch_up()
    outcome = decider.execute(create(1))
    assert isinstance(outcome, Decided)
    assert outcome.repeated


def test_the_locks_of_streams_without_waiting_commands_are_dropped(parts) -> None:
    _, _, decider = parts
    for number in range(20):
        tag = commands.TagVersion(version=1, key="a", value="b")
        assert isinstance(
            decider.execute(commands.Command(command_id="c", stream=f"models/m{number}", tag_version=tag)), Refused
        )
    assert len(decider.locks) == 0


def test_a_repeated_command_whose_record_was_deleted_gets_an_error_and_not_another_record(parts) -> None:
    log, _, decider = parts
    first = decider.execute(create(1))
    assert isinstance(first, Decided)
    decider.execute(create(2))
    (partition,) = [partition for partition, end in log.end(topics.LIFECYCLE).items() if end]
    log.deleted_before[partition] = 1
    with pytest.raises(LogUnavailable, match="sequence 1 cannot be read"):
        decider.execute(create(1))


def test_catching_up_has_one_time_limit_for_all_partitions_together(parts, monkeypatch: pytest.MonkeyPatch) -> None:
    log, fold, decider = parts
    waits: list[float] = []
    monkeypatch.setattr(log, "end", lambda topic: dict.fromkeys(range(12), 9))
    monkeypatch.setattr(fold, "wait_position", lambda partition, offset, seconds: waits.append(seconds) or True)
    now = iter(range(100))
    monkeypatch.setattr(deciding, "time", SimpleNamespace(monotonic=lambda: next(now)))
    decider._catch_up()
    assert sum(waits) < 12 * deciding.READ_BACK_SECONDS
    assert waits[-1] == 0


def test_a_log_that_never_answers_whether_it_took_a_record_is_unavailable_with_the_cause(parts) -> None:
    log, _, decider = parts
    log.records_to_hold_back = deciding.MAX_DECISIONS
    with pytest.raises(LogUnavailable, match="the record is on its way"):
        decider.execute(create(1))


def test_a_log_that_answers_again_while_others_win_is_not_called_unavailable(
    parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, _, decider = parts
    append = decider._append
    log.records_to_hold_back = 1
    monkeypatch.setattr(decider, "_append", lambda record: bool(log.records_to_hold_back) and append(record))
    with pytest.raises(Contended, match="other writers"):
        decider.execute(create(1))
