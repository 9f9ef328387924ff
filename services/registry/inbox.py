"""Turns CloudEvents from upstream into commands."""

import json
from typing import Any

from headgate.domain.change_merged import TYPE, BadChange, MergedChange, merged_change
from headgate.domain.names import NAME_RULE, event_command_id, is_name, model_stream
from headgate.log.envelope import CloudEvent
from headgate.log.port import Record
from headgate.runtime.observability.trace_context import HEADER, parse_trace_parent
from headgate.v1 import commands_pb2 as commands

MAX_DATA_BYTES = 256 * 1024
MAX_DEPTH = 32


class UnusableEvent(ValueError):
    """The event is well formed but cannot be used. `code` is the code of its dead letter."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def command_of(event: CloudEvent, model_of_repository: dict[str, str]) -> commands.Command:
    """The command for an upstream event. Raises UnusableEvent.

    `model_of_repository` has the model of each known repository, for events that do not name a model.
    """
    if not TYPE.fullmatch(event.type):
        raise UnusableEvent("unknown-type", f"type: expected dev.cdevents.change.merged, got {event.type!r}")
    change = _change(event)
    model = change.model or event.attributes.get("partitionkey", "") or model_of_repository.get(change.repository, "")
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


def _change(event: CloudEvent) -> MergedChange:
    try:
        return merged_change(_json(event))
    except BadChange as error:
        raise UnusableEvent("bad-data", str(error)) from None


def _json(event: CloudEvent) -> dict[str, Any]:
    if event.data is None or len(event.data) > MAX_DATA_BYTES:
        raise UnusableEvent("bad-data", f"data: expected a JSON object of at most {MAX_DATA_BYTES} bytes")
    try:
        data = json.loads(event.data)
    except (ValueError, RecursionError) as error:
        raise UnusableEvent("bad-data", f"data is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise UnusableEvent("bad-data", "data is not a JSON object")
    return data
