"""What an upstream event says, and by which rule every registry would refuse it. Senders and registries ask here."""

from typing import Any

from headgate.domain.change_merged import TYPE, BadChange, MergedChange, merged_change
from headgate.domain.names import MODEL_NAME_RULE, is_model_name
from headgate.domain.source import bad_source
from headgate.domain.strict_json import read_json
from headgate.domain.updated_data import DATA_UPDATED, broken_update_rule
from headgate.domain.words import json_kind
from headgate.log.envelope import CloudEvent
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


def named_model(event: CloudEvent, change: MergedChange) -> str:
    """The model that a merged change names; empty when it names none. Raises UnusableEvent."""
    model = change.model or event.attributes.get("partitionkey", "")
    if model and not is_model_name(model):
        where = "customData.model" if change.model else "partitionkey"
        raise UnusableEvent("invalid-model", f"{where} is {model!r}: {MODEL_NAME_RULE}")
    return model


def broken_rule(event: CloudEvent) -> str:
    """The rule by which every registry refuses this event, whatever models it has; empty for none."""
    try:
        said = upstream_of(event)
        if not isinstance(said, MergedChange):
            return ""
        named_model(event, said)
    except UnusableEvent as error:
        return str(error)
    refused = bad_source(said.repository, said.commit)
    return refused.message if refused else ""


def _update(event: CloudEvent) -> configuration.UpdatedData:
    data = _object(event)
    update = configuration.UpdatedData(uri=_text(data, "uri"), sha256=_text(data, "sha256"))
    if rule := broken_update_rule(update):
        raise UnusableEvent("bad-data", f"data.{rule}")
    return update


def _change(event: CloudEvent) -> MergedChange:
    try:
        return merged_change(_object(event))
    except BadChange as error:
        raise UnusableEvent("bad-data", f"data.{error}") from None


def _text(data: dict[str, Any], key: str) -> str:
    value = data.get(key, "")
    if not isinstance(value, str) or not value.isprintable():
        found = "control characters" if isinstance(value, str) else json_kind(value)
        raise UnusableEvent("bad-data", f"data.{key}: expected text, got {found}")
    return value


def _object(event: CloudEvent) -> dict[str, Any]:
    if event.data is None:
        raise UnusableEvent("bad-data", "data is missing: expected a JSON object")
    if len(event.data) > MAX_DATA_BYTES:
        raise UnusableEvent("bad-data", f"data has {len(event.data)} bytes: expected at most {MAX_DATA_BYTES}")
    try:
        data = read_json(event.data)
    except ValueError as error:
        raise UnusableEvent("bad-data", f"data is not JSON: {error}") from None
    if not isinstance(data, dict):
        raise UnusableEvent("bad-data", f"data: expected a JSON object, got {json_kind(data)}")
    return data
