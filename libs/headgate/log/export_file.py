"""The form of an exported log: a file of JSON lines with all records of one topic, byte for byte.

The first line says what the file is, the last one how many records it has, so a file that was cut short is found. Each
line between is a record: partition, offset, time, and key, value and headers in base64. Offsets grow within a
partition.
"""

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from headgate.log.port import MAX_RECORD_BYTES, PARTITIONS, EventLog, LogError, Record

FORM = "headgate.exported-log.v1"
MAX_LINE_BYTES = 2 * MAX_RECORD_BYTES
"""The longest line: base64 makes four bytes of three."""
PAGE_RECORDS = 1_000


class ExportInvalid(LogError):
    """The file is not a whole exported log. The message names the line."""


def records_of(log: EventLog, topic: str) -> Iterator[Record]:
    """All records that the topic has now, partition by partition. Raises LogError."""
    for partition, end in log.end(topic).items():
        offset = 0
        while offset < end:
            page = [record for record in log.read(topic, partition, offset, PAGE_RECORDS) if record.offset < end]
            if not page:
                break
            yield from page
            offset = page[-1].offset + 1


def write(file: BinaryIO, topic: str, records: Iterable[Record]) -> int:
    """Writes the records of a topic, and returns how many."""
    file.write(_line({"form": FORM, "topic": topic}))
    written = 0
    for record in records:
        file.write(_line(_as_data(record)))
        written += 1
    file.write(_line({"records": written}))
    return written


def topic_in(line: bytes) -> str:
    """The topic that the first line names. Raises ExportInvalid."""
    head = _object(line, 1)
    if head.get("form") != FORM or not isinstance(head.get("topic"), str):
        raise ExportInvalid(f"line 1: expected a file that `headgate log export` wrote, with form {FORM}")
    return str(head["topic"])


def record_in(line: bytes, number: int, topic: str) -> Record | int:
    """The record in a line, or of the last line how many records the file has. Raises ExportInvalid."""
    data = _object(line, number)
    if data.keys() == {"records"} and type(data["records"]) is int:
        return int(data["records"])
    try:
        partition, offset, timestamp_ms = (_whole(data[name]) for name in ("partition", "offset", "timestamp_ms"))
        key, value = _bytes(data["key"]), None if data["value"] is None else _bytes(data["value"])
        headers = tuple((str(name), _bytes(content)) for name, content in data["headers"])
    except (KeyError, TypeError, ValueError) as error:
        raise ExportInvalid(f"line {number}: no record of an exported log ({type(error).__name__}: {error})") from None
    if partition >= PARTITIONS:
        raise ExportInvalid(f"line {number}: partition {partition} of {PARTITIONS}")
    return Record(topic, partition, offset, timestamp_ms, key, value, headers)


def _line(data: dict[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"


def _as_data(record: Record) -> dict[str, Any]:
    return {
        "partition": record.partition,
        "offset": record.offset,
        "timestamp_ms": record.timestamp_ms,
        "key": _text(record.key),
        "value": None if record.value is None else _text(record.value),
        "headers": [[name, _text(content)] for name, content in record.headers],
    }


def _object(line: bytes, number: int) -> dict[str, Any]:
    try:
        data = json.loads(line)
    except (ValueError, RecursionError):
        raise ExportInvalid(f"line {number}: not JSON; the file may have been cut short") from None
    if not isinstance(data, dict):
        raise ExportInvalid(f"line {number}: expected a JSON object")
    return data


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value < 1 << 63:
        raise ValueError(f"{str(value)[:32]} is no whole number from 0 on")
    return value


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(text: object) -> bytes:
    if not isinstance(text, str):
        raise TypeError("expected base64")
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(str(error)) from None
