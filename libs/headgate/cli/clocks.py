"""Finds out from the log whose clock is wrong, without asking a service.

In the records that ask for the log's time, each service notes its own time. The newest one shows the log's time.
"""

from collections.abc import Iterable, Mapping

from google.protobuf.message import DecodeError

from headgate.log import topics
from headgate.log.partitioner import partition_of
from headgate.log.port import PARTITIONS, EventLog, Record
from headgate.runtime.clock import now_ms
from headgate.telemetry.clock_watch import CLOCK_KEY, PROBE_SECONDS, SKEW_LIMIT_SECONDS, in_words
from headgate.v1 import telemetry_pb2 as telemetry

LOOK_BACK_MS = int(6 * PROBE_SECONDS * 1000)
"""How much of the log counts. Each service writes some records in this time."""
MAX_RECORDS = 10_000
_PARTITION = partition_of(CLOCK_KEY.encode(), PARTITIONS)


def log_time_ms(log: EventLog) -> int:
    """The time of the newest record that asked for the log's time; the own clock's when there is none. Raises LogError.

    Services that run write such a record every few seconds.
    """
    newest = _newest(log)
    return newest.timestamp_ms if newest is not None else now_ms()


def wrong_clocks(log: EventLog) -> tuple[list[str], int]:
    """One sentence for each service whose host has a wrong clock, and how many services were found. Raises LogError."""
    newest = _newest(log)
    if newest is None:
        return [], 0
    first = log.offsets_at(topics.TELEMETRY, newest.timestamp_ms - LOOK_BACK_MS)[_PARTITION]
    found = skews(log.read(topics.TELEMETRY, _PARTITION, max(first, newest.offset - MAX_RECORDS), MAX_RECORDS))
    wrong = [
        f"the clock of the host of {name} is {in_words(seconds)} the log's time"
        for name, seconds in sorted(found.items())
        if abs(seconds) > SKEW_LIMIT_SECONDS
    ]
    return wrong, len(found)


def skews(records: Iterable[Record]) -> Mapping[str, float]:
    """For each service, by how many seconds its clock was ahead of the log's time, as its newest record shows.

    A record that took long makes a clock look behind, so the record that was written most quickly counts.
    """
    found: dict[str, tuple[str, float]] = {}
    for record in records:
        try:
            parsed = telemetry.TelemetryRecord.FromString(record.value or b"")
        except DecodeError:
            continue
        if parsed.HasField("clock_probe"):
            skew = (parsed.at_ms - record.timestamp_ms) / 1000
            boot_id, known = found.get(parsed.source, ("", skew))
            found[parsed.source] = parsed.boot_id, max(skew, known) if boot_id == parsed.boot_id else skew
    return {source: skew for source, (_, skew) in found.items()}


def _newest(log: EventLog) -> Record | None:
    end = log.end(topics.TELEMETRY)[_PARTITION]
    records = log.read(topics.TELEMETRY, _PARTITION, end - 1, 1) if end else ()
    return records[-1] if records else None
