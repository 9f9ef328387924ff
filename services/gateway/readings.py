"""The gauges of the gateway's present state, read at each scrape."""

from collections.abc import Iterator

from headgate.runtime.observability.metrics import Reading
from services.gateway.loading.version_loader import MemoryUse
from services.gateway.table import Table

VERSIONS, STABLE_ONLY, SINCE_POLL = "headgate_versions_loaded", "headgate_stable_only", "headgate_log_heard_seconds"
WAITING = "headgate_predictions_waiting"
HELD, LIMIT, ASLEEP = "headgate_version_memory_bytes", "headgate_version_memory_limit_bytes", "headgate_versions_asleep"
WAITING_FOR_LOADS = "headgate_predictions_waiting_for_loads"
NAMES = (VERSIONS, STABLE_ONLY, SINCE_POLL, WAITING, HELD, LIMIT, ASLEEP, WAITING_FOR_LOADS)


def readings(table: Table, silent_seconds: float, memory: MemoryUse) -> Iterator[Reading]:
    """The values, when the last answer of the log came `silent_seconds` ago."""
    entries = table.entries.values()
    yield Reading(HELD, (), memory.held_bytes)
    yield Reading(LIMIT, (), memory.limit_bytes)
    yield Reading(WAITING_FOR_LOADS, (), memory.waiting)
    yield Reading(ASLEEP, (), sum(entry.asleep for entry in entries))
    yield Reading(SINCE_POLL, (), silent_seconds)
    yield Reading(VERSIONS, (), sum(len(entry.versions) for entry in entries))
    for entry in entries:
        if entry.is_lapsed(silent_seconds):
            yield Reading(STABLE_ONLY, (entry.route.model,), 1)
        if waiting := entry.waiting:
            yield Reading(WAITING, (entry.route.model,), waiting)
