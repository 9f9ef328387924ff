"""The gauges of the gateway's present state, read at each scrape."""

from collections.abc import Iterator

from headgate.runtime.observability.metrics import Reading
from services.gateway.table import Table

VERSIONS, STABLE_ONLY, SINCE_POLL = "headgate_versions_loaded", "headgate_stable_only", "headgate_log_heard_seconds"
WAITING = "headgate_predictions_waiting"
NAMES = (VERSIONS, STABLE_ONLY, SINCE_POLL, WAITING)


def readings(table: Table, silent_seconds: float) -> Iterator[Reading]:
    """The values, when the last answer of the log came `silent_seconds` ago."""
    entries = table.entries.values()
    yield Reading(SINCE_POLL, (), silent_seconds)
    yield Reading(VERSIONS, (), sum(len(entry.versions) for entry in entries))
    for entry in entries:
        if entry.is_lapsed(silent_seconds):
            yield Reading(STABLE_ONLY, (entry.route.model,), 1)
        if waiting := entry.waiting:
            yield Reading(WAITING, (entry.route.model,), waiting)
