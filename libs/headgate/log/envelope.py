"""CloudEvents 1.0 on the log, and the digest that chains the facts.

Binary mode puts the attributes into `ce_` headers and the data into the value. Structured mode puts the whole event
into the value as JSON. Headgate reads both and writes only binary mode.
Source: cloudevents/spec, kafka-protocol-binding.md.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.domain.strict_json import read_json
from headgate.log.port import Headers, Record

DIGEST_DOMAIN = b"headgate.v1.LifecycleRecord\x00"
PROTOBUF = "application/protobuf"
MAX_ATTRIBUTES = 64
_REQUIRED = ("specversion", "id", "source", "type")
_ATTRIBUTE = re.compile(r"[a-z0-9]{1,64}")


class MalformedEvent(ValueError):
    """The record is not a CloudEvent. The message names the attribute and the rule."""


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """An event: the required attributes, all others as text in `attributes`, and the data as bytes."""

    id: str
    source: str
    type: str
    data: bytes | None
    content_type: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


def digest(value: bytes) -> bytes:
    """SHA-256 of the domain tag and the exact bytes of the value. The next fact of the stream names this digest."""
    return hashlib.sha256(DIGEST_DOMAIN + value).digest()


def encode(event: CloudEvent) -> tuple[Headers, bytes | None]:
    """Headers and value of the event in binary mode."""
    headers = [
        ("ce_specversion", b"1.0"),
        ("ce_id", event.id.encode()),
        ("ce_source", event.source.encode()),
        ("ce_type", event.type.encode()),
    ]
    headers.extend((f"ce_{name}", text.encode()) for name, text in event.attributes.items())
    if event.content_type:
        headers.append(("content-type", event.content_type.encode()))
    return tuple(headers), event.data


def decode(record: Record) -> CloudEvent:
    """The event in a record of either mode. Raises MalformedEvent."""
    content_type = _content_type(record.headers)
    if content_type.lower().startswith("application/cloudevents"):
        return _structured(record, content_type)
    return _binary(record, content_type)


def _content_type(headers: Headers) -> str:
    return next((_text(value, name) for name, value in headers if name.lower() == "content-type"), "")


def _binary(record: Record, content_type: str) -> CloudEvent:
    attributes: dict[str, str] = {}
    for name, value in record.headers:
        if name.startswith("ce_"):
            key = name[3:]
            if key in attributes:
                raise MalformedEvent(f"{name}: this attribute is given twice")
            attributes[key] = _text(value, name)
    return _event(attributes, record.value, content_type)


def _structured(record: Record, content_type: str) -> CloudEvent:
    if not content_type.lower().startswith("application/cloudevents+json"):
        raise MalformedEvent(
            f"content-type {content_type!r}: the only known structured mode is application/cloudevents+json"
        )
    try:
        body = read_json(record.value or b"")
    except ValueError as error:
        raise MalformedEvent(f"the value is not JSON: {error}") from None
    if not isinstance(body, dict):
        raise MalformedEvent("the value is not a JSON object")
    data = _structured_data(body)
    attributes = {name: _scalar(name, value) for name, value in body.items() if value is not None}
    return _event(attributes, data, attributes.pop("datacontenttype", "application/json"))


def _structured_data(body: dict[str, Any]) -> bytes | None:
    if "data_base64" in body:
        try:
            return base64.b64decode(body.pop("data_base64"), validate=True)
        except (ValueError, TypeError):
            raise MalformedEvent("data_base64: the text is not valid base64") from None
    if "data" not in body:
        return None
    data = body.pop("data")
    if isinstance(data, str) and not _is_json(body.get("datacontenttype")):
        try:
            return data.encode()
        except UnicodeEncodeError:
            raise MalformedEvent("data: the text is not valid UTF-8") from None
    return json.dumps(data).encode()


def _is_json(content_type: object) -> bool:
    # For any other content type, a JSON string holds the data itself.
    return content_type is None or re.search(r"[/+]json\b", str(content_type).lower()) is not None


def _scalar(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        text = str(value)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise MalformedEvent(f"{name}: the attribute is not valid UTF-8") from None
        return text
    raise MalformedEvent(f"{name}: an attribute must be text, a whole number or a boolean")


def _event(attributes: dict[str, str], data: bytes | None, content_type: str) -> CloudEvent:
    for name in _REQUIRED:
        if not attributes.get(name):
            raise MalformedEvent(f"{name}: this attribute is required and must not be empty")
    if attributes["specversion"] != "1.0":
        raise MalformedEvent(f"specversion {attributes['specversion']!r}: only 1.0 is supported")
    if len(attributes) > MAX_ATTRIBUTES:
        raise MalformedEvent(f"{len(attributes)} attributes: at most {MAX_ATTRIBUTES}")
    for name in attributes:
        if not _ATTRIBUTE.fullmatch(name):
            raise MalformedEvent(f"{name!r}: an attribute name has 1 to 64 lower-case letters and digits")
    rest = {name: text for name, text in attributes.items() if name not in _REQUIRED}
    return CloudEvent(attributes["id"], attributes["source"], attributes["type"], data, content_type, rest)


def _text(value: bytes, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise MalformedEvent(f"{name}: the attribute is not valid UTF-8") from None
