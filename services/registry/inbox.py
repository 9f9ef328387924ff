"""Turns CloudEvents from upstream into commands."""

from collections.abc import Mapping

from headgate.domain.change_merged import MergedChange
from headgate.domain.names import event_command_id, model_stream
from headgate.domain.state import ModelState
from headgate.domain.updated_data import retraining
from headgate.log.envelope import CloudEvent
from headgate.log.port import Record
from headgate.log.upstream import UnusableEvent, Upstream, named_model
from headgate.runtime.observability.trace_context import HEADER, parse_trace_parent
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration


def commands_of(event: CloudEvent, said: Upstream, models: Mapping[str, ModelState]) -> list[commands.Command]:
    """The commands for what an event said, by the models as they are now. Raises UnusableEvent."""
    if isinstance(said, configuration.UpdatedData):
        return retrainings(event, said, models)
    return [creation(event, said, models)]


def retrainings(
    event: CloudEvent, update: configuration.UpdatedData, models: Mapping[str, ModelState]
) -> list[commands.Command]:
    """A new version of each model that depends on the data. Raises UnusableEvent when none does."""
    found = {name: retraining(state, update) for name, state in sorted(models.items())}
    # The id is the same for every model: it counts within the model's own stream.
    issued = [
        commands.Command(
            command_id=event_command_id(event.source, event.id),
            stream=model_stream(name),
            actor=event.source,
            causation_id=event.id,
            correlation_id=update.sha256,
            create_version=create,
        )
        for name, create in found.items()
        if create is not None
    ]
    if not issued:
        rule = "the newest version of no model names this place with another SHA-256"
        raise UnusableEvent("nothing-depends", f"uri: {rule}")
    return issued


def creation(event: CloudEvent, change: MergedChange, models: Mapping[str, ModelState]) -> commands.Command:
    """The command for a merged change. Raises UnusableEvent.

    A change that names no model belongs to the one with its repository.
    """
    model = named_model(event, change) or _model_of(change.repository, models)
    if not model:
        rule = "customData.model: the event names no model, and no model has its repository"
        raise UnusableEvent("no-model", rule)
    return commands.Command(
        command_id=event_command_id(event.source, event.id),
        stream=model_stream(model),
        actor=event.source,
        causation_id=event.id,
        correlation_id=change.commit,
        create_version=commands.CreateVersion(
            repository=change.repository, commit=change.commit, commit_message=change.message
        ),
    )


def trace_parent_of(event: CloudEvent, record: Record) -> str:
    """The W3C traceparent to continue: the valid one in the record's headers, or else the event's attribute."""
    in_headers = (value.decode(errors="replace") for name, value in record.headers if name == HEADER)
    return next(filter(parse_trace_parent, in_headers), "") or event.attributes.get(HEADER, "")


def _model_of(repository: str, models: Mapping[str, ModelState]) -> str:
    """The model with this repository, the last one of several; empty when there is none."""
    found = [name for name, state in models.items() if repository and state.model.repository == repository]
    return found[-1] if found else ""
