"""A merged commit as the CloudEvent that starts a version: CDEvents change.merged in Kafka's binary mode."""

import json
from dataclasses import dataclass

from headgate.domain.words import rfc3339
from headgate.log.envelope import CloudEvent, encode
from headgate.log.port import Message
from headgate.log.topics import INBOX
from headgate.runtime.observability import trace_context

CHANGE_MERGED = "dev.cdevents.change.merged.0.3.0"


@dataclass(frozen=True, slots=True)
class Change:
    """One commit of a model's repository; `repository` is a path or URL the trainer can clone."""

    model: str
    repository: str
    commit: str
    message: str


def change_merged(change: Change, event_id: str, source: str, at_ms: int, trace_parent: str = "") -> Message:
    """The event as a record for the inbox. A second event with the same source and id does nothing."""
    headers, value = encode(change_event(change, event_id, source, at_ms, trace_parent))
    return Message(INBOX, change.model.encode(), value, headers)


def change_event(change: Change, event_id: str, source: str, at_ms: int, trace_parent: str = "") -> CloudEvent:
    """The event itself, without the headers of its record."""
    at = rfc3339(at_ms)
    data = {
        "context": {
            "specversion": "0.5.0",
            "id": event_id,
            "source": source,
            "type": CHANGE_MERGED,
            "timestamp": at,
        },
        "subject": {
            "id": change.commit,
            "type": "change",
            "content": {"repository": {"id": change.model, "source": change.repository}},
        },
        "customData": {
            "model": change.model,
            "commit": change.commit,
            "repository": change.repository,
            "message": change.message,
        },
    }
    trace = {trace_context.HEADER: trace_parent} if trace_parent else {}
    return CloudEvent(
        id=event_id,
        source=source,
        type=CHANGE_MERGED,
        data=json.dumps(data, separators=(",", ":")).encode(),
        content_type="application/json",
        attributes={"time": at, "subject": change.commit, "partitionkey": change.model, **trace},
    )
