"""The workaround for header names that are not UTF-8. The first test shows that kafka-python still needs it."""

import pytest
from kafka.errors import CorruptRecordError
from kafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder

from headgate.log.kafka.workarounds.header_names import KeepingBatch

NAME = b"\xff\xfename"


def batch_of(name: bytes) -> bytearray:
    """A batch of one record with a header of this name, six bytes long, as another client may write it."""
    builder = DefaultRecordBatchBuilder(2, 0, False, -1, -1, -1, 1_000_000)
    builder.append(0, 1, b"key", b"value", [("_name_", b"kept"), ("second", b"too")])
    return bytearray(bytes(builder.build()).replace(b"_name_", name))


def test_kafka_python_still_fails_at_such_a_name() -> None:
    """When this test fails, kafka-python reads such names: then remove workarounds/header_names.py."""
    with pytest.raises(CorruptRecordError, match="UnicodeDecodeError"):
        list(DefaultRecordBatch(batch_of(NAME)))


def test_such_a_name_keeps_its_bytes_and_the_other_headers_stay() -> None:
    (record,) = KeepingBatch(batch_of(NAME))
    assert [(name.encode(), value) for name, value in record.headers] == [(NAME, b"kept"), (b"second", b"too")]
    assert (record.key, record.value) == (b"key", b"value")


def test_other_names_are_read_as_kafka_python_reads_them() -> None:
    (ours,), (theirs,) = KeepingBatch(batch_of(b"_name_")), DefaultRecordBatch(batch_of(b"_name_"))
    assert ours.headers == theirs.headers
