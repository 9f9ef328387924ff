"""The record in training.json that a network answers a row alone as beside others, so that requests may run together.

The trainer compares a few rows alone, in halves and all together, and ends an attempt whose network answers them
differently. Versions from before this record have none, and their requests run alone.
"""

import json
from collections.abc import Collection

ROWS_APART = "rows_apart"


def record(
    rows: int, batches: Collection[int], relative_tolerance: float, absolute_tolerance: float
) -> dict[str, object]:
    """What was compared: so many rows, in batches of these sizes, and by how much answers may differ."""
    return {
        ROWS_APART: {
            "rows": rows,
            "batches": sorted(set(batches)),
            "relative_tolerance": relative_tolerance,
            "absolute_tolerance": absolute_tolerance,
        }
    }


def shown_in(training: bytes) -> bool:
    """Whether training.json has the record of at least two rows: one row alone shows nothing."""
    try:
        found = json.loads(training).get(ROWS_APART)
        return isinstance(found, dict) and isinstance(found.get("rows"), int) and found["rows"] >= 2
    except (ValueError, AttributeError, RecursionError):
        return False
