"""An exported log has the records of the topic byte for byte, and a damaged file is refused with its line."""

import io
from pathlib import Path

import pytest

from headgate.log import topics
from headgate.log.export_file import ExportInvalid, records_of, write
from headgate.log.open import open_log
from headgate.log.port import AddressInvalid, EventLog, LogRefused, Message, UnknownTopic

KEYS = (b"models/fraud", b"models/churn", "models/\u00e4".encode())


@pytest.fixture
def exported(log: EventLog, tmp_path: Path) -> Path:
    """The file of a log with values of every kind."""
    for number in range(6):
        value = bytes([number, 0, 255]) * number if number != 3 else None
        log.append(Message(topics.LIFECYCLE, KEYS[number % 3], value, (("ce_id", b"\xff%d" % number),)))
    path = tmp_path / "facts.jsonl"
    with path.open("wb") as file:
        assert write(file, topics.LIFECYCLE, records_of(log, topics.LIFECYCLE)) == 6
    return path


def test_an_exported_log_reads_as_the_log_did(log: EventLog, exported: Path) -> None:
    copy = open_log(f"file:{exported}")
    try:
        assert copy.end(topics.LIFECYCLE) == log.end(topics.LIFECYCLE)
        for partition, end in log.end(topics.LIFECYCLE).items():
            records = log.read(topics.LIFECYCLE, partition, 0)
            assert copy.read(topics.LIFECYCLE, partition, 0) == records
            assert copy.values(topics.LIFECYCLE, partition, 1, 1) == log.values(topics.LIFECYCLE, partition, 1, 1)
            assert not copy.read(topics.LIFECYCLE, partition, end)
        for time_ms in (0, log.read(topics.LIFECYCLE, *_place(log))[0].timestamp_ms, 1 << 60):
            assert copy.offsets_at(topics.LIFECYCLE, time_ms) == log.offsets_at(topics.LIFECYCLE, time_ms)
    finally:
        copy.close()


def _place(log: EventLog) -> tuple[int, int]:
    return next((partition, 0) for partition, end in log.end(topics.LIFECYCLE).items() if end)


def test_an_exported_log_takes_no_records_and_has_no_other_topic(exported: Path) -> None:
    copy = open_log(f"file:{exported}")
    with pytest.raises(LogRefused, match="can only be read"):
        copy.append(Message(topics.LIFECYCLE, b"models/fraud", b"x"))
    with pytest.raises(UnknownTopic, match=r"has headgate\.lifecycle alone"):
        copy.end(topics.COMMANDS)
    copy.close()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda lines: [], "line 1: not JSON"),
        (lambda lines: [b"{}\n", *lines[1:]], "line 1: expected a file that"),
        (lambda lines: lines[:-1], "cut short"),
        (lambda lines: [*lines[:3], lines[3][:-20]], "line 4: not JSON"),
        (lambda lines: [*lines[:2], *lines[3:]], "line 7: the file has 5 records before it, expected 6"),
        (lambda lines: [*lines[:2], *lines[1:]], "line 3: offset 0 of partition"),
        (lambda lines: [*lines, b"{}\n"], "line 8: the file has 6 records"),
        (lambda lines: [lines[0], b"[]\n"], "line 2: expected a JSON object"),
        (lambda lines: [lines[0], b"[" * 100_000], "line 2: not JSON"),
        (lambda lines: [lines[0], lines[1].replace(b'"offset":0', b'"offset":-1')], "line 2: no record"),
        (lambda lines: [lines[0], lines[1].replace(b'"key":"', b'"key":"*')], "line 2: no record"),
        (lambda lines: [lines[0], b'{"partition":99,"offset":0,"timestamp_ms":1,"key":"","value":"","headers":[]}'],
         "line 2: partition 99 of 12"),
    ],
)  # fmt: skip
def test_a_damaged_file_is_refused_with_its_line(exported: Path, damage: object, reason: str) -> None:
    assert callable(damage)
    exported.write_bytes(b"".join(damage(exported.read_bytes().splitlines(keepends=True))))
    with pytest.raises(ExportInvalid, match=reason):
        open_log(f"file:{exported}")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AddressInvalid, match=r"no exported log at .*none\.jsonl"):
        open_log(f"file:{tmp_path}/none.jsonl")
    with pytest.raises(AddressInvalid, match="file:path for an exported log"):
        open_log("file:")


def test_an_empty_topic_exports_to_a_file_that_opens(tmp_path: Path) -> None:
    written = io.BytesIO()
    assert write(written, topics.LIFECYCLE, []) == 0
    (tmp_path / "empty").write_bytes(written.getvalue())
    copy = open_log(f"file:{tmp_path}/empty")
    assert set(copy.end(topics.LIFECYCLE).values()) == {0}
    copy.close()
