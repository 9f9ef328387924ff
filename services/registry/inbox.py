"""Turns CloudEvents from upstream into commands."""

import json
from collections.abc import Mapping
from typing import Any

from headgate.domain.change_merged import TYPE, BadChange, MergedChange, merged_change
from headgate.domain.names import NAME_RULE, event_command_id, is_name, model_stream
from headgate.domain.state import ModelState
from headgate.domain.updated_data import DATA_UPDATED, broken_update_rule, retraining
from headgate.domain.utf8 import text_of_json
from headgate.log.envelope import CloudEvent
from headgate.log.port import Record
from headgate.runtime.observability.trace_context import HEADER, parse_trace_parent
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration

MAX_DATA_BYTES = 256 * 1024

Upstream = MergedChange | configuration.UpdatedData
"""What an event says."""


class UnusableEvent(ValueError):
    """The event is well formed but cannot be used. `code` is the code of its dead letter."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def upstream_of(event: CloudEvent) -> Upstream:
    """What an upstream event says. Raises UnusableEvent."""
    if event.type == DATA_UPDATED:
        return _update(event)
    if TYPE.fullmatch(event.type):
        return _change(event)
    expected = f"expected dev.cdevents.change.merged or {DATA_UPDATED}"
    raise UnusableEvent("unknown-type", f"type: {expected}, got {event.type!r}")


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
    model = change.model or event.attributes.get("partitionkey", "") or _model_of(change.repository, models)
    if not model:
        rule = "customData.model: the event names no model, and no model has its repository"
        raise UnusableEvent("no-model", rule)
    if not is_name(model):
        raise UnusableEvent("invalid-model", f"customData.model is {model!r}: {NAME_RULE}")
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


def _update(event: CloudEvent) -> configuration.UpdatedData:
    data = _json(event)
    update = configuration.UpdatedData(uri=_text(data, "uri"), sha256=_text(data, "sha256"))
    if rule := broken_update_rule(update):
        raise UnusableEvent("bad-data", f"uri and sha256: {rule}")
    return update


def _change(event: CloudEvent) -> MergedChange:
    try:
        return merged_change(_json(event))
    except BadChange as error:
        raise UnusableEvent("bad-data", str(error)) from None


def _text(data: dict[str, Any], key: str) -> str:
    value = data.get(key, "")
    if not isinstance(value, str) or not value.isprintable():
        found = "control characters" if isinstance(value, str) else type(value).__name__
        raise UnusableEvent("bad-data", f"{key}: expected text, got {found}")
    return value


def _json(event: CloudEvent) -> dict[str, Any]:
    if event.data is None or len(event.data) > MAX_DATA_BYTES:
        raise UnusableEvent("bad-data", f"data: expected a JSON object of at most {MAX_DATA_BYTES} bytes")
    try:
        data = json.loads(text_of_json(event.data))
    except (ValueError, RecursionError) as error:
        raise UnusableEvent("bad-data", f"data is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise UnusableEvent("bad-data", "data is not a JSON object")
    return data
