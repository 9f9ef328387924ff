"""What only the training process can find out about a version, because it has all rows and runs the repository's code.

It stands in training.json. The evaluator takes it from there into the report.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.evaluation_tables import MAX_OWN_METRICS

FINDINGS = "findings"


class WrongFindings(Exception):
    """training.json says something else than the training process writes."""


@dataclass(frozen=True, slots=True)
class Findings:
    """The repository's own metrics on the test rows, the threshold that was chosen on the validation rows, and how many
    test rows stand in training too. None where it is not known."""

    own_metrics: Mapping[str, float] = field(default_factory=dict)
    threshold: float | None = None
    leaked_rows: int | None = None

    def as_json(self) -> dict[str, Any]:
        found = {
            "own_metrics": dict(self.own_metrics),
            "threshold": self.threshold,
            "leaked_rows": self.leaked_rows,
        }
        return {name: value for name, value in found.items() if value not in (None, {})}


def findings_in(training: bytes) -> Findings:
    """What training.json says; nothing where an older trainer wrote it. Raises WrongFindings."""
    try:
        match json.loads(training).get(FINDINGS, {}):
            case dict() as found:
                own = {str(name): _number(value) for name, value in found.get("own_metrics", {}).items()}
                threshold, leaked = found.get("threshold"), found.get("leaked_rows")
                if len(own) > MAX_OWN_METRICS or not (leaked is None or (isinstance(leaked, int) and leaked >= 0)):
                    raise ValueError(f"metrics: {len(own)}, leaked rows: {leaked}")
                return Findings(own, None if threshold is None else _number(threshold), leaked)
            case other:
                raise ValueError(repr(other))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise WrongFindings(f"training.json: {FINDINGS} cannot be read: {str(error)[:200]}") from error


def _number(value: object) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        raise ValueError(f"{value!r} is not a finite number")
    return float(value)
