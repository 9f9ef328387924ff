"""Reads whole topics page by page, without a consumer group."""

from collections.abc import Callable, Iterator, Mapping

from headgate.log.port import EventLog, Record


def scan(log: EventLog, topic: str, partition: int, start: int, end: int) -> Iterator[Record]:
    """The records of a partition from offset `start` up to, but without, offset `end`. Raises LogError."""
    offset = start
    while offset < end:
        records = log.read(topic, partition, offset)
        if not records:
            return
        yield from (record for record in records if record.offset < end)
        offset = records[-1].offset + 1


def scan_all(log: EventLog, topic: str, start: Mapping[int, int] | None = None) -> Iterator[Record]:
    """All records that a topic holds now, partition by partition, from its start or from `start`. Raises LogError."""
    for partition, end in log.end(topic).items():
        yield from scan(log, topic, partition, (start or {}).get(partition, 0), end)


def newest(
    log: EventLog, topic: str, ends: Mapping[int, int], count: int, wanted: Callable[[Record], bool]
) -> list[Record]:
    """The last `count` wanted records before the ends, sorted by time. Raises LogError."""
    found: list[Record] = []
    for partition, end in ends.items():
        kept: list[Record] = []
        for record in scan(log, topic, partition, 0, end):
            if wanted(record):
                kept.append(record)
                del kept[: max(0, len(kept) - count)]
        found.extend(kept)
    found.sort(key=lambda record: (record.timestamp_ms, record.partition, record.offset))
    return found[max(0, len(found) - count) :]
