"""CloudEvents over HTTP: one in binary or structured mode, or a batch. Pure.

Source: cloudevents/spec, bindings/http-protocol-binding.md and formats/json-format.md.
"""

import json
from collections.abc import Mapping, Sequence
from urllib.parse import unquote

from headgate.domain.change_merged import MergedChange
from headgate.domain.state import ModelState
from headgate.domain.strict_json import read_json
from headgate.domain.updated_data import retraining
from headgate.domain.words import json_kind
from headgate.log.envelope import CloudEvent, MalformedEvent, decode
from headgate.log.port import Record
from headgate.log.topics import INBOX
from headgate.log.upstream import UnusableEvent, broken_rule, named_model, upstream_of
from services.portal.webhooks.delivery import Delivery, Refused, malformed
from services.portal.webhooks.mapping import Repository, is_same

MAX_EVENTS = 100
"""How many events one batch may have."""
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


def events_of(delivery: Delivery, is_signed: bool) -> list[CloudEvent]:
    """The events of a proven delivery. Raises Refused."""
    content_type = delivery.header("content-type")
    kind = content_type.partition(";")[0].strip().lower()
    if kind == BATCH:
        return _batch(delivery)
    if kind == STRUCTURED:
        return [_structured(delivery.body, "")]
    if kind.startswith("application/cloudevents"):
        raise malformed(f"content-type: expected {STRUCTURED} or {BATCH}, or a binary event")
    if is_signed:
        rule = "the signature does not cover the headers of a binary event: send it structured, or with a bearer token"
        raise malformed(rule)
    return [_binary(delivery, content_type)]


def require_allowed(event: CloudEvent, repositories: Sequence[Repository], models: Mapping[str, ModelState]) -> None:
    """Raises Refused for an event that every registry would refuse, or that this secret may not send.

    `repositories` are those of the proven secret. It may send events about their models alone.
    """
    if rule := broken_rule(event):
        raise Refused(422, "unusable-event", f"{event.id[:80]}: {rule}")
    try:
        said = upstream_of(event)
        if isinstance(said, MergedChange):
            allowed = _is_theirs(said, named_model(event, said), repositories)
        else:
            touched = {name for name, state in models.items() if retraining(state, said) is not None}
            allowed = bool(repositories) and touched <= {each.model for each in repositories}
    except UnusableEvent as error:
        raise Refused(422, error.code, str(error)) from None
    if not allowed:
        rule = "this secret sends events of the models and repositories that were declared with it, and of no others"
        raise Refused(403, "not-allowed", f"{event.id[:80]}: {rule}")


def _is_theirs(said: MergedChange, model: str, repositories: Sequence[Repository]) -> bool:
    # Without a model the registry would choose one, and perhaps another's.
    return any(is_same(each.url, [said.repository]) and model == each.model for each in repositories)


def _structured(body: bytes, place: str) -> CloudEvent:
    try:
        return decode(Record(INBOX, 0, 0, 0, b"", body, (("content-type", STRUCTURED.encode()),)))
    except MalformedEvent as error:
        raise Refused(400, "malformed-event", f"{place}{error}") from None


def _batch(delivery: Delivery) -> list[CloudEvent]:
    try:
        found = read_json(delivery.body)
    except ValueError as error:
        raise malformed(f"the body is not JSON: {error}") from None
    if not isinstance(found, list):
        raise malformed(f"the body: expected a JSON list, got {json_kind(found)}")
    if len(found) > MAX_EVENTS:
        raise Refused(413, "too-many-events", f"{len(found)} events: expected at most {MAX_EVENTS} in one batch")
    return [_structured(json.dumps(each).encode(), f"[{n}]: ") for n, each in enumerate(found)]


def _binary(delivery: Delivery, content_type: str) -> CloudEvent:
    headers = [
        (f"ce_{name.removeprefix('ce-')}", _attribute(name, text))
        for name, text in delivery.headers.items()
        if name.startswith("ce-")
    ]
    if content_type:
        headers.append(("content-type", content_type.encode()))
    try:
        return decode(Record(INBOX, 0, 0, 0, b"", delivery.body or None, tuple(headers)))
    except MalformedEvent as error:
        raise Refused(400, "malformed-event", str(error).replace("ce_", "ce-")) from None


def _attribute(name: str, text: str) -> bytes:
    try:
        return unquote(text, errors="strict").encode()
    except UnicodeError:
        raise malformed(f"{name}: expected text in UTF-8, percent-encoded") from None
