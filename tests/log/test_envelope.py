"""CloudEvents on the log: round trips, malformed events, and a comparison with the CloudEvents SDK."""

import base64
import json
from datetime import UTC, datetime

import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_binary, from_structured, to_binary, to_structured
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent as OtherEvent
from hypothesis import given
from hypothesis import strategies as st

from headgate.log.envelope import CloudEvent, MalformedEvent, decode, encode
from headgate.log.port import Headers, Record

STRUCTURED = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)
REQUIRED = {"specversion": "1.0", "id": "1", "source": "/s", "type": "t"}

text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
names = st.from_regex(r"\A[a-z0-9]{1,20}\Z").filter(lambda name: name not in (*REQUIRED, "data", "datacontenttype"))


def stored(value: bytes | None, headers: Headers) -> Record:
    return Record("headgate.inbox", 0, 0, 0, b"", value, headers)


def binary(**attributes: str | bytes) -> Record:
    given_ = {**REQUIRED, **attributes}
    raw = {name: value if isinstance(value, bytes) else value.encode() for name, value in given_.items()}
    return stored(b"x", tuple((f"ce_{name}", value) for name, value in raw.items()))


def structured(**body: object) -> Record:
    event = {name: value for name, value in {**REQUIRED, **body}.items() if value is not ...}
    return stored(json.dumps(event).encode(), STRUCTURED)


@given(
    text, text, text, st.none() | st.binary(max_size=50), st.sampled_from(["", "application/protobuf"]),
    st.dictionaries(names, text, max_size=5),
)  # fmt: skip
def test_a_written_event_is_read_back_unchanged(
    id_: str, source: str, type_: str, data: bytes | None, content_type: str, attributes: dict[str, str]
) -> None:
    event = CloudEvent(id_, source, type_, data, content_type, attributes)
    headers, value = encode(event)
    assert decode(stored(value, headers)) == event


def test_a_structured_event_carries_json_or_bytes() -> None:
    assert decode(structured(data={"a": [1, "é"]})).data == b'{"a": [1, "\\u00e9"]}'
    assert decode(structured(data_base64=base64.b64encode(b"\x00\xff").decode())).data == b"\x00\xff"
    assert decode(structured()).data is None
    assert decode(structured(data="a,b", datacontenttype="text/csv")).data == b"a,b"
    assert decode(structured(data="a,b", datacontenttype="application/json")).data == b'"a,b"'
    assert decode(structured(subject="models/fraud", n=3, yes=True, no=None)).attributes == {
        "subject": "models/fraud", "n": "3", "yes": "true",
    }  # fmt: skip


def test_the_content_type_decides_the_mode_even_when_the_headers_repeat_attributes() -> None:
    event = structured(data=1)
    repeated = stored(event.value, (("ce_id", b"other"), ("Content-Type", b"Application/CloudEvents+JSON")))
    assert decode(repeated).id == "1"


@pytest.mark.parametrize("name", list(REQUIRED))
def test_a_missing_or_empty_attribute_is_named(name: str) -> None:
    for record in (binary(**{name: ""}), structured(**{name: ""}), structured(**{name: ...})):
        with pytest.raises(MalformedEvent, match=name):
            decode(record)


@pytest.mark.parametrize(
    ("record", "names"),
    [
        (stored(b"x", ()), "specversion"),
        (stored(None, STRUCTURED), "not JSON"),
        (stored(b"[]", STRUCTURED), "object"),
        (stored(b"[" * 200_000, STRUCTURED), "JSON"),
        (stored(b"\xff", STRUCTURED), "JSON"),
        (stored(b"{}", (("content-type", b"application/cloudevents+avro"),)), "content-type"),
        (stored(b"{}", (("content-type", b"application/cloudevents-batch+json"),)), "content-type"),
        (stored(b"{}", (("content-type", b"\xff"),)), "content-type"),
        (binary(specversion="2.0"), "specversion"),
        (binary(subject=b"\xff"), "subject"),
        (binary(Subject="x"), "Subject"),
        (binary(**{"with-dash": "x"}), "with-dash"),
        (binary(**{f"a{number}": "x" for number in range(61)}), "65 attributes"),
        (stored(b"", (*binary().headers, ("ce_id", b"2"))), "ce_id"),
        (structured(data_base64="?"), "data_base64"),
        (structured(data_base64=7), "data_base64"),
        (structured(subject={"a": 1}), "subject"),
        (structured(subject=1.5), "subject"),
        (structured(subject="\ud800"), "subject"),
        (structured(id=["1"]), "id"),
    ],
)
def test_a_malformed_event_names_what_is_wrong(record: Record, names: str) -> None:
    with pytest.raises(MalformedEvent, match=names):
        decode(record)


@given(st.binary(max_size=200), st.lists(st.tuples(st.text(max_size=8), st.binary(max_size=8)), max_size=4))
def test_any_bytes_are_an_event_or_a_malformed_event(value: bytes, headers: list[tuple[str, bytes]]) -> None:
    for mode in ((), STRUCTURED):
        try:
            decode(stored(value, (*mode, *headers)))
        except MalformedEvent:
            continue


def other_event(data: object) -> OtherEvent:
    attributes = {**REQUIRED, "subject": "models/fraud", "time": datetime(2026, 1, 1, tzinfo=UTC)}
    return OtherEvent({**attributes, "datacontenttype": "application/json"}, data)  # type: ignore[arg-type]


@pytest.mark.parametrize("write", [to_binary, to_structured])
def test_headgate_reads_what_the_cloudevents_sdk_writes(write: object) -> None:
    message: KafkaMessage = write(other_event({"a": 1}), JSONFormat())  # type: ignore[operator]
    event = decode(stored(message.value, tuple(message.headers.items())))
    assert (event.id, event.source, event.type) == ("1", "/s", "t")
    assert event.attributes["subject"] == "models/fraud"
    assert event.content_type == "application/json"
    assert event.data is not None
    assert json.loads(event.data) == {"a": 1}


def test_the_cloudevents_sdk_reads_what_headgate_writes() -> None:
    headers, value = encode(CloudEvent("1", "/s", "t", b'{"a":1}', "application/json", {"subject": "x"}))
    other = from_binary(KafkaMessage(dict(headers), None, value or b""), JSONFormat())
    assert (other.get_id(), other.get_source(), other.get_type()) == ("1", "/s", "t")
    assert (other.get_subject(), other.get_data()) == ("x", {"a": 1})


def test_headgate_and_the_cloudevents_sdk_read_the_same_structured_event() -> None:
    record = structured(data={"a": 1}, datacontenttype="application/json")
    other = from_structured(KafkaMessage(dict(record.headers), None, record.value or b""), JSONFormat())
    ours = decode(record)
    assert (ours.id, json.loads(ours.data or b"")) == (other.get_id(), other.get_data())
