"""Handles the registry's two topics: commands from workers, and events from upstream.

An offset is committed after its record has taken effect.
"""

from google.protobuf.message import DecodeError

from headgate.dead_letters.burials import Burials
from headgate.domain.names import ACCESS_STREAM
from headgate.domain.refusal import INVALID, Refused
from headgate.lifecycle.follower import LifecycleFold
from headgate.log import topics
from headgate.log.envelope import CloudEvent, MalformedEvent, decode
from headgate.log.port import EventLog, Record
from headgate.log.upstream import UnusableEvent, upstream_of
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.observability.work_log import note, set_outcome, unit_of_work
from headgate.v1 import commands_pb2 as commands
from headgate.worker.intake import Intake
from services.registry.decider import MAX_SHOWN, Decider
from services.registry.inbox import commands_of, trace_parent_of
from services.registry.topic_writers import PROVEN_BY, actor_of, refuse_peoples

GRPC_RULE = "roles and tokens are given and taken by gRPC alone, where callers prove who they are"


class CommandHandler:
    """Executes the commands of headgate.commands. Records refusals, and buries records that are no command."""

    def __init__(self, burials: Burials, fold: LifecycleFold, decider: Decider, authenticated: bool) -> None:
        self._burials, self._fold, self._decider = burials, fold, decider
        self._authenticated = authenticated

    def __call__(self, record: Record) -> None:
        try:
            command = commands.Command.FromString(record.value or b"")
        except DecodeError:
            return bury(self._burials, "command", record, "the value is not a headgate.v1.Command")
        if not command.command_id or not command.stream:
            return bury(self._burials, "command", record, "command_id or stream is empty")
        command.proven_by = ""  # whoever writes to the topic has proven nothing here
        if self._authenticated:
            command.actor, command.proven_by = actor_of(topics.COMMANDS, command.actor), PROVEN_BY
        with unit_of_work("command", command.WhichOneof("command") or "unknown", command.trace_parent):
            refused = self._refused(command)
            if refused is not None:
                refuse(self._decider, command, refused)
            else:
                execute(self._decider, command)

    def _refused(self, command: commands.Command) -> Refused | None:
        if command.stream == ACCESS_STREAM:
            return Refused(INVALID, GRPC_RULE, f"{command.stream}: {GRPC_RULE}", "stream")
        if not self._authenticated:
            return None
        with self._fold.lock:
            return refuse_peoples(command, self._fold.models)


class InboxHandler:
    """Turns the events of headgate.inbox into commands. Buries an event that it cannot use, with the reason."""

    def __init__(self, burials: Burials, fold: LifecycleFold, decider: Decider, authenticated: bool) -> None:
        self._burials, self._fold, self._decider = burials, fold, decider
        self._authenticated = authenticated

    def __call__(self, record: Record) -> None:
        try:
            event = decode(record)
        except MalformedEvent as error:
            return bury(self._burials, "event", record, str(error))
        with unit_of_work("event", event.type, trace_parent_of(event, record), source=event.source, event_id=event.id):
            self._handle(event, record)

    def _handle(self, event: CloudEvent, record: Record) -> None:
        try:
            said = upstream_of(event)
            with self._fold.lock:
                issued = commands_of(event, said, self._fold.models)
        except UnusableEvent as error:
            set_outcome("buried", error.code)
            self._burials.bury(record, error.code, str(error))
        else:
            for command in issued:
                if self._authenticated:
                    command.actor, command.proven_by = actor_of(topics.INBOX, command.actor), PROVEN_BY
                execute(self._decider, command)


def bury(burials: Burials, unit: str, record: Record, reason: str) -> None:
    """Buries a record that cannot be parsed, as a unit of work. Raises LogError."""
    with unit_of_work(unit, "unreadable", partition=record.partition, offset=record.offset):
        set_outcome("buried", f"malformed-{unit}")
        burials.bury(record, f"malformed-{unit}", reason)


def execute(decider: Decider, command: commands.Command) -> None:
    """Executes a command for which no caller waits, and records its refusal. Raises LogError, Contended."""
    outcome = decider.execute(command)
    if isinstance(outcome, Refused):
        refuse(decider, command, outcome)


def refuse(decider: Decider, command: commands.Command, refused: Refused) -> None:
    """Records the refusal of a command from the log. Raises LogError."""
    decider.refuse(command, refused)
    set_outcome("refused", refused.code)
    note(why=refused.message[:MAX_SHOWN])


def intakes(
    log: EventLog,
    fold: LifecycleFold,
    decider: Decider,
    name: str,
    burials: Burials,
    metrics: Metrics,
    authenticated: bool = False,
) -> list[Intake]:
    """The consumers of both topics. `authenticated` says that callers must prove who they are."""
    group, parts = topics.REGISTRY_GROUP, (burials, fold, decider, authenticated)
    return [
        Intake(log, topics.COMMANDS, group, name, CommandHandler(*parts), burials, metrics),
        Intake(log, topics.INBOX, group, name, InboxHandler(*parts), burials, metrics),
    ]
