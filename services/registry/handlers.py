"""The registry's two topics: commands from the workers, events from upstream. Commit follows the effect."""

from google.protobuf.message import DecodeError

from headgate.dead_letters.burials import Burials
from headgate.domain.refusal import Refused
from headgate.lifecycle.follower import LifecycleFold
from headgate.log import topics
from headgate.log.envelope import CloudEvent, MalformedEvent, decode
from headgate.log.port import EventLog, Record
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.observability.work_log import ends, note, unit_of_work
from headgate.v1 import commands_pb2 as commands
from headgate.worker.intake import Intake
from services.registry.decider import MAX_SHOWN, Decider
from services.registry.inbox import UnusableEvent, command_of, trace_parent_of

GROUP = "registry"


class CommandHandler:
    """Decides the commands topic: a refusal is recorded, what is not a command is buried."""

    def __init__(self, burials: Burials, decider: Decider) -> None:
        self._burials = burials
        self._decider = decider

    def __call__(self, record: Record) -> None:
        try:
            command = commands.Command.FromString(record.value or b"")
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


def carry_out(decider: Decider, command: commands.Command) -> None:
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
        Intake(log, topics.COMMANDS, GROUP, name, CommandHandler(burials, decider), burials, metrics),
        Intake(log, topics.INBOX, GROUP, name, InboxHandler(burials, fold, decider), burials, metrics),
    ]
