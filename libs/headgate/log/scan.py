"""Reading a topic from end to end without a group, page by page."""

from collections.abc import Callable, Iterator, Mapping

from headgate.log.port import EventLog, Record


def scan(log: EventLog, topic: str, partition: int, start: int, end: int) -> Iterator[Record]:
    """The records of a partition from `start` to before `end`. Raises LogError."""
    offset = start
    while offset < end:
        records = log.read(topic, partition, offset)
        if not records:
            return
        yield from (record for record in records if record.offset < end)
        offset = records[-1].offset + 1


def scan_all(log: EventLog, topic: str, start: Mapping[int, int] | None = None) -> Iterator[Record]:
    """What a topic holds now, partition after partition, from the start or from given offsets. Raises LogError."""
    for partition, end in log.end(topic).items():
        yield from scan(log, topic, partition, (start or {}).get(partition, 0), end)


def newest(
    log: EventLog, topic: str, ends: Mapping[int, int], count: int, wanted: Callable[[Record], bool]
) -> list[Record]:
    """The last wanted records before the ends, in the order of their times. Raises LogError."""
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
