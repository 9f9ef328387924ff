"""Executes commands: decides on the folded state, appends the fact, and waits until the fold has read it back."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from headgate.domain import access
from headgate.domain import environment as environments
from headgate.domain import model as models
from headgate.domain.credentials import as_it_may_be_kept
from headgate.domain.fact import Fact
from headgate.domain.names import ACCESS_STREAM, MAX_ID, MODEL_NAME_RULE, NAME_RULE, in_words, split_stream
from headgate.domain.refusal import INVALID, REUSED, STALE, Refused
from headgate.domain.state import AccessState, EnvironmentState, ModelState
from headgate.domain.texts import as_it_may_be_recorded, bad_name, bad_text, with_masked_texts
from headgate.lifecycle.follower import LifecycleFold
from headgate.lifecycle.stream import Stream, command_digest, event_id, message_of, new_stream, parse, record_of
from headgate.log import topics
from headgate.log.port import EventLog, LogUnavailable, Message, OutcomeUnknown, RecordsLost, RecordTooLarge
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.observability.work_log import current_trace_parent, note
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.worker.intake import Contended
from services.registry import command_metrics as outcomes
from services.registry.command_metrics import CommandMetrics
from services.registry.stream_locks import SharedLock, StreamLocks

MAX_DECISIONS = 8
"""How often one command is decided when records of other writers win each time."""
READ_BACK_SECONDS = 10.0
MAX_COMMAND_BYTES = 400_000
"""A refusal contains its whole command, and a fact contains much of it. Both must fit into one record."""
COUNTING_APPROVALS = ("start_release", "begin_release")
"""Commands whose decisions count approvals, which hold as long as the grants of their authors."""
MAX_SHOWN = 2_000
SIZE_RULE = f"a command has at most {MAX_COMMAND_BYTES} bytes"
ID_RULE = f"a command id has at most {MAX_ID} characters"
STREAM_RULE = "a stream is models/{name}, environments/{name} or access/default"


@dataclass(frozen=True, slots=True)
class Decided:
    """The outcome of a command that was not refused: the accepted record, or None when the fact already held.

    `repeated` is true when the record comes from an earlier copy of the same command.
    """

    record: facts.LifecycleRecord | None
    repeated: bool = False


class Sender(Protocol):
    """Who sends a command, where callers have proven who they are."""

    def require(self) -> None:
        """Raises when the sender may not do this, by the very state on which the command is decided."""
        ...

    def held(self, model: str) -> Sequence[facts.HeldRole]:
        """The roles that the sender holds for a model."""
        ...


class Decider:
    """Decides commands and appends their facts. The only writer of headgate.lifecycle. Thread-safe."""

    def __init__(self, log: EventLog, fold: LifecycleFold, now_ms: Callable[[], int], metrics: Metrics) -> None:
        self._metrics = CommandMetrics(metrics)
        self._log = log
        self._fold = fold
        self._now_ms = now_ms
        self.locks = StreamLocks()
        self._grants = SharedLock()

    def execute(
        self, command: commands.Command, from_person: bool = False, sender: Sender | None = None
    ) -> Decided | Refused:
        """Executes the command and returns its outcome. Raises Contended, LogUnavailable, RecordsLost.

        Without a `sender` nobody has proven who sends the command, and nothing is asked of them.
        Credentials in a text are refused in a command from a person, and left out of what a program reports.
        """
        # The fact continues the trace of this unit of work, which continues the trace of the command's sender.
        command.trace_parent = current_trace_parent()
        note(
            stream=_shown_id(command.stream),
            command_id=_shown_id(command.command_id),
            correlation_id=_shown_id(command.correlation_id),
        )
        with self._metrics.measured(command) as measured:
            outcome = self._execute(command, from_person, sender)
            measured.outcome = _outcome_name(outcome)
            note(decision=measured.outcome, sequence=_sequence_of(outcome))
            return outcome

    def _execute(self, command: commands.Command, from_person: bool, sender: Sender | None) -> Decided | Refused:
        if command.ByteSize() > MAX_COMMAND_BYTES:
            return Refused(INVALID, SIZE_RULE, f"the command has {command.ByteSize()} bytes: {SIZE_RULE}", "command")
        if len(command.command_id) > MAX_ID:
            return Refused(INVALID, ID_RULE, f"command_id is too long: {ID_RULE}", "command_id")
        if wrong := bad_name(command) or (bad_text(command) if from_person else None):
            return wrong
        if split_stream(command.stream) == ("", ""):
            shown = f"stream is {command.stream[:MAX_ID]!r}: {STREAM_RULE}; {MODEL_NAME_RULE}; else {NAME_RULE}"
            return Refused(INVALID, STREAM_RULE, shown, "stream")
        # One decision at a time per stream, because two of this process would only compete for the same head.
        with self.locks.hold(command.stream), self._grants_kept(command, sender):
            return self._decide_and_append(with_masked_texts(command), sender)

    def _grants_kept(self, command: commands.Command, sender: Sender | None) -> AbstractContextManager[None]:
        """Keeps a grant from being revoked between the decision that it allows and the append of the fact."""
        if command.stream == ACCESS_STREAM:
            return self._grants.alone()
        by_grants = sender is not None or command.WhichOneof("command") in COUNTING_APPROVALS
        return self._grants.shared() if by_grants else nullcontext()

    def refuse(self, command: commands.Command, refused: Refused) -> None:
        """Records a refusal on headgate.refusals. Raises LogUnavailable."""
        self._metrics.refused(refused)
        record = commands.Refusal(
            command_id=_shown_id(command.command_id),
            stream=_shown_id(command.stream),
            actor=_shown_id(command.actor),
            proven_by=command.proven_by,
            code=refused.code,
            rule=refused.rule,
            message=as_it_may_be_kept(refused.message)[:MAX_SHOWN],
            field=refused.field,
            refused_at_ms=self._now_ms(),
            command=as_it_may_be_recorded(command) if command.ByteSize() <= MAX_COMMAND_BYTES else None,
        )
        self._log.append(Message(topics.REFUSALS, record.stream.encode(), record.SerializeToString()))

    def _decide_and_append(self, command: commands.Command, sender: Sender | None) -> Decided | Refused:
        sent, unknown = 0, ""
        for _ in range(MAX_DECISIONS):
            may_arrive = self._head(command.stream) < sent
            outcome = self._decide(command, sender)
            if not isinstance(outcome, facts.LifecycleRecord):
                if may_arrive:  # The record may still be accepted, and this outcome would then be wrong.
                    raise LogUnavailable("it is unknown whether the log took the record; send the same request again")
                return outcome
            try:
                if self._append(outcome):
                    return Decided(outcome)
                unknown = ""
            except RecordTooLarge as error:
                return Refused(INVALID, "a fact fits into one record", str(error), "command")
            except OutcomeUnknown as error:
                # If the record was written after all, the next decision finds it by its event id.
                sent, unknown = outcome.sequence, str(error)
                self._catch_up()
        if unknown:  # nobody else has won: the log itself fails
            raise LogUnavailable(
                f"it is unknown whether the log took the record: {unknown}; send the same request again"
            )
        raise Contended(f"other writers of {command.stream} won {MAX_DECISIONS} times; send the same request again")

    def _head(self, name: str) -> int:
        with self._fold.lock:
            stream = self._fold.streams.get(name)
            return stream.sequence if stream is not None else 0

    def _decide(self, command: commands.Command, sender: Sender | None) -> facts.LifecycleRecord | Decided | Refused:
        """The record to append, or the outcome when there is nothing to append."""
        at_ms = self._now_ms()
        with self._fold.lock:
            if sender is not None:
                sender.require()
            if self._fold.lost:
                raise RecordsLost(f"the log has lost records, so no command is decided: {self._fold.lost}")
            stream = self._fold.streams.get(command.stream) or new_stream(command.stream)
            if stream is None:
                return Refused(INVALID, STREAM_RULE, f"stream is {command.stream!r}: {STREAM_RULE}", "stream")
            if stream.broken:
                return Refused(INVALID, "a stream with an illegal fact takes no more facts", stream.broken, "stream")
            known = stream.accepted.get(event_id(command.stream, command.command_id))
            if known is None:
                return self._new_record(stream, command, at_ms, sender)
        return self._earlier_outcome(stream, known, command)  # outside the lock, because it reads the log

    def _new_record(
        self, stream: Stream, command: commands.Command, at_ms: int, sender: Sender | None
    ) -> facts.LifecycleRecord | Decided | Refused:
        if command.HasField("expected_sequence") and command.expected_sequence != stream.sequence:
            rule = "a change with an etag needs the etag of the present state"
            shown = f"the etag is {command.expected_sequence}, but {in_words(command.stream)} is at {stream.sequence}"
            return Refused(STALE, rule, shown, "etag")
        fact = self._fact(stream, command, at_ms, sender)
        if fact is None:
            return Decided(None)
        if isinstance(fact, Refused):
            return fact
        return record_of(command, fact, stream, at_ms)

    def _earlier_outcome(self, stream: Stream, sequence: int, command: commands.Command) -> Decided | Refused:
        """The record of an earlier copy of this command."""
        record = self.read(stream, sequence)
        if record.command_digest != command_digest(command):
            rule = "a request id is used for one request only"
            return Refused(REUSED, rule, f"{command.command_id} was used for another command", "request_id")
        return Decided(record, repeated=True)

    def read(self, stream: Stream, sequence: int) -> facts.LifecycleRecord:
        """The accepted record of the stream at this sequence, from the log. Raises LogError."""
        offset = stream.offsets[sequence - 1]
        found = self._log.read(topics.LIFECYCLE, stream.partition, offset, 1)
        # Where the record was deleted, the log answers with the next one that it has.
        record = parse(found[0].value or b"") if found and found[0].offset == offset else None
        if record is None:
            raise LogUnavailable(f"{stream.name} sequence {sequence} cannot be read")
        return record

    def _fact(
        self, stream: Stream, command: commands.Command, at_ms: int, sender: Sender | None
    ) -> Fact | Refused | None:
        name = command.WhichOneof("command")
        if name is None:
            return Refused(INVALID, "a command has a known payload", "the command is empty or unknown", "command")
        payload = getattr(command, name)
        state = stream.state
        if isinstance(state, ModelState) and isinstance(payload, models.ModelCommand):
            held = sender.held(state.name) if sender and isinstance(payload, commands.GrantApproval) else ()
            folded = self._fold
            return models.decide(state, payload, at_ms, folded.environments, command.actor, held, folded.access)
        if isinstance(state, EnvironmentState) and isinstance(payload, environments.EnvironmentCommand):
            return environments.decide(state, payload, at_ms)
        if isinstance(state, AccessState) and isinstance(payload, access.AccessCommand):
            return access.decide(state, payload, at_ms)
        rule = (
            "a command about a model goes to models/{name}, one about an environment to environments/{name}, "
            "and one about roles and tokens to access/default"
        )
        return Refused(INVALID, rule, f"{name} was sent to {stream.name}", "stream")

    def _append(self, record: facts.LifecycleRecord) -> bool:
        """Appends the record and returns whether it was accepted.

        If it was not, another writer's record was. That record may come from the same command.
        Raises OutcomeUnknown, LogUnavailable, RecordTooLarge.
        """
        position = self._log.append(message_of(record))
        if not self._fold.wait_position(position.partition, position.offset, READ_BACK_SECONDS):
            raise LogUnavailable("the record was appended but not read back in time; send the same request again")
        with self._fold.lock:
            stream = self._fold.streams.get(record.stream)
            if stream is None or stream.sequence < record.sequence:
                return False
            return (stream.partition, stream.offsets[record.sequence - 1]) == (position.partition, position.offset)

    def _catch_up(self) -> None:
        ends = self._log.end(topics.LIFECYCLE)
        deadline = time.monotonic() + READ_BACK_SECONDS
        for partition, end in ends.items():
            if not self._fold.wait_position(partition, end - 1, max(0.0, deadline - time.monotonic())):
                raise LogUnavailable("the log cannot be read; send the same request again")


def _sequence_of(outcome: Decided | Refused) -> int | str:
    return outcome.record.sequence if isinstance(outcome, Decided) and outcome.record is not None else ""


def _outcome_name(outcome: Decided | Refused) -> str:
    if isinstance(outcome, Refused):
        return outcomes.REFUSED
    if outcome.record is None:
        return outcomes.HELD
    return outcomes.REPEATED if outcome.repeated else outcomes.ACCEPTED


def _shown_id(text: str) -> str:
    """The begin of an id. What is cut could otherwise hide that it holds credentials."""
    return as_it_may_be_kept(text)[:MAX_ID]
