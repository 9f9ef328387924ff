"""The registry's two topics: commands from the workers, events from upstream. Commit follows the effect."""

import logging
import threading
from collections.abc import Callable, Mapping

from google.protobuf.message import DecodeError

from headgate.domain.refusal import Refused
from headgate.log import topics
from headgate.log.envelope import CloudEvent, MalformedEvent, decode
from headgate.log.fold import LifecycleFold
from headgate.log.port import EventLog, LogError, Record, RecordTooLarge, StaleMember
from headgate.runtime.metrics import Metrics
from headgate.runtime.work_log import ends, note, unit_of_work
from headgate.v1 import commands_pb2 as k
from headgate.worker.dead_letters import Burials
from services.registry.decider import MAX_SHOWN, Decider
from services.registry.inbox import UnusableEvent, command_of, trace_parent_of
from services.registry.turns import Contended

POLL_SECONDS = 0.5
RECONNECT_SECONDS = 0.5
MAX_TRIES = 3
"""Tries of one record that makes its handler fail; then it is buried, or it would stop everything behind it."""
RETRY_SECONDS = 0.2
MAX_TURNS = 50
"""Tries of one record while other writers win, before the group is joined anew."""
GROUP = "registry"

logger = logging.getLogger(__name__)


class Intake:
    """Consumes one topic as a member of the registry's group, one record at a time."""

    def __init__(
        self,
        log: EventLog,
        topic: str,
        member: str,
        handle: Callable[[Record], None],
        burials: Burials,
        metrics: Metrics,
    ) -> None:
        self.topic = topic
        self._log = log
        self._lost = metrics.counter("headgate_log_errors_total").labels()
        self._member = member
        self._handle = handle
        self._burials = burials
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"intake-{topic}", daemon=True)

    def start(self) -> None:
        """Joins the group."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def positions(self) -> Mapping[int, int]:
        """Per partition, the offset the group reads on from. Raises LogError."""
        return self._log.committed(self.topic, GROUP)

    def stop_soon(self) -> None:
        """Takes no further record; does not wait."""
        self._stopping.set()

    def stop(self, grace_seconds: float) -> None:
        """Finishes the record in hand, commits it and leaves the group."""
        self._stopping.set()
        self._thread.join(timeout=grace_seconds)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._consume()
            except (LogError, Contended) as error:
                # Nothing was committed for the record in hand, so it comes again.
                logger.warning("intake interrupted; joining again", extra={"topic": self.topic, "error": str(error)})
                self._lost.inc()
                self._stopping.wait(RECONNECT_SECONDS)

    def _consume(self) -> None:
        with self._log.consumer(self.topic, GROUP, self._member) as consumer:
            while not self._stopping.is_set():
                for record in consumer.poll(POLL_SECONDS):
                    if self._stopping.is_set():
                        return
                    self._handle_in_turn(record)
                    try:
                        consumer.commit([record])
                    except StaleMember:
                        return

    def _handle_in_turn(self, record: Record) -> None:
        """Waits for other writers of the stream: leaving the group instead would stop its other members too."""
        for _ in range(MAX_TURNS):
            try:
                return self._handle_or_bury(record)
            except Contended:
                if self._stopping.wait(RETRY_SECONDS):
                    raise
        raise Contended(f"other writers won {MAX_TURNS} times in a row")

    def _handle_or_bury(self, record: Record) -> None:
        """Returns once the record has had its effect or is buried. Raises LogError and Contended: those pass."""
        for tries in range(1, MAX_TRIES + 1):
            try:
                return self._handle(record)
            except (LogError, Contended) as error:
                if not isinstance(error, RecordTooLarge):
                    raise
                reason = str(error)
            except Exception as error:  # whatever a record does to its handler, those behind it are handled
                where = {"topic": record.topic, "partition": record.partition, "offset": record.offset}
                logger.exception("handler failed", extra={**where, "tries": tries})
                reason = f"{type(error).__name__}: {error}"
            self._stopping.wait(RETRY_SECONDS)
        self._burials.bury(record, "handler-failed", f"{MAX_TRIES} tries: {reason}")


class CommandHandler:
    """Decides the commands topic: a refusal is recorded, what is not a command is buried."""

    def __init__(self, burials: Burials, decider: Decider) -> None:
        self._burials = burials
        self._decider = decider

    def __call__(self, record: Record) -> None:
        try:
            command = k.Command.FromString(record.value or b"")
        except DecodeError:
            return bury(self._burials, "command", record, "the value is not a headgate.v1.Command")
        if not command.command_id or not command.stream:
            return bury(self._burials, "command", record, "command_id and stream are not empty")
        with unit_of_work("command", command.WhichOneof("command") or "unknown", command.trace_parent):
            carry_out(self._decider, command)


class InboxHandler:
    """Turns upstream events into commands; an event that cannot be used is buried with the reason."""

    def __init__(self, burials: Burials, fold: LifecycleFold, decider: Decider) -> None:
        self._burials = burials
        self._fold = fold
        self._decider = decider

    def __call__(self, record: Record) -> None:
        try:
            event = decode(record)
        except MalformedEvent as error:
            return bury(self._burials, "event", record, str(error))
        with unit_of_work("event", event.type, trace_parent_of(event, record), source=event.source, event_id=event.id):
            self._handle(event, record)

    def _handle(self, event: CloudEvent, record: Record) -> None:
        try:
            command = command_of(event, self._model_of_repository())
        except UnusableEvent as error:
            ends("buried", error.code)
            self._burials.bury(record, error.code, str(error))
        else:
            carry_out(self._decider, command)

    def _model_of_repository(self) -> dict[str, str]:
        with self._fold.lock:
            return {state.model.repository: name for name, state in self._fold.models.items() if state.model.repository}


def bury(burials: Burials, unit: str, record: Record, reason: str) -> None:
    """Buries what is not even readable, as a unit of work of its own. Raises LogError."""
    with unit_of_work(unit, "unreadable", partition=record.partition, offset=record.offset):
        ends("buried", f"malformed-{unit}")
        burials.bury(record, f"malformed-{unit}", reason)


def carry_out(decider: Decider, command: k.Command) -> None:
    """Executes a command from the log and records its refusal. Raises LogError, Contended."""
    outcome = decider.execute(command)
    if isinstance(outcome, Refused):
        decider.refuse(command, outcome)
        ends("refused", outcome.code)
        note(why=outcome.message[:MAX_SHOWN])


def intakes(
    log: EventLog, fold: LifecycleFold, decider: Decider, name: str, burials: Burials, metrics: Metrics
) -> list[Intake]:
    """The registry's consumers."""
    return [
        Intake(log, topics.COMMANDS, name, CommandHandler(burials, decider), burials, metrics),
        Intake(log, topics.INBOX, name, InboxHandler(burials, fold, decider), burials, metrics),
    ]
