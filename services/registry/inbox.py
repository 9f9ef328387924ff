"""Turns CloudEvents from upstream into commands."""

import json
import re
from typing import Any

from headgate.domain.names import NAME_RULE, event_command_id, is_name, model_stream
from headgate.log.envelope import CloudEvent
from headgate.log.port import Record
from headgate.runtime.observability.trace_context import HEADER, parse_trace_parent
from headgate.v1 import commands_pb2 as commands

CHANGE_MERGED = re.compile(r"dev\.cdevents\.change\.merged(\.\d+\.\d+\.\d+(-\w+)?)?")
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
    if not CHANGE_MERGED.fullmatch(event.type):
        raise UnusableEvent("unknown-type", f"type: expected dev.cdevents.change.merged, got {event.type!r}")
    data = _json(event)
    subject = _table(data, "subject")
    custom = _table(data, "customData")
    repository = _text(custom, "repository") or _repository(subject)
    commit = _text(custom, "commit") or _text(subject, "id")
    model = (
        _text(custom, "model") or event.attributes.get("partitionkey", "") or model_of_repository.get(repository, "")
    )
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
        correlation_id=commit,
        create_version=commands.CreateVersion(
            repository=repository, commit=commit, commit_message=_text(custom, "message").strip()
        ),
    )


def trace_parent_of(event: CloudEvent, record: Record) -> str:
    """The W3C traceparent to continue: the valid one in the record's headers, or else the event's attribute."""
    in_headers = (value.decode(errors="replace") for name, value in record.headers if name == HEADER)
    return next(filter(parse_trace_parent, in_headers), "") or event.attributes.get(HEADER, "")


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


def _table(data: dict[str, Any], key: str) -> dict[str, Any]:
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise UnusableEvent("bad-data", f"{key}: expected an object, got {type(value).__name__}")
    return value


def _text(table: dict[str, Any], key: str) -> str:
    value = table.get(key, "")
    if not isinstance(value, str):
        raise UnusableEvent("bad-data", f"{key}: expected text, got {type(value).__name__}")
    if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
        raise UnusableEvent("bad-data", f"{key}: expected text, got half of a surrogate pair")
    return value


def _repository(subject: dict[str, Any]) -> str:
    repository = _table(_table(subject, "content"), "repository")
    return _text(repository, "source") or _text(repository, "url") or _text(repository, "id")
