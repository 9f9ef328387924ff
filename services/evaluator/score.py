"""Runs a trained version on its test rows and measures its predictions.

Only bytes that the signed manifest names are run. The baseline always runs on the candidate's rows.
"""

import hashlib
import logging
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load

from headgate.artifacts.keys import load_trusted
from headgate.artifacts.layout import ANSWERS_TENSOR, FEATURES_TENSOR, MODEL_FILE, TEST_ROWS_FILE
from headgate.artifacts.manifest import unseal
from headgate.artifacts.store import ArtifactError, ArtifactStore
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.evaluator.inference import Unrunnable, predict
from services.evaluator.metrics import Measured, Unmeasurable, measure

DEFAULT_THRESHOLD = 0.5

CANNOT_BE_SCORED = (ArtifactError, Unmeasurable, Unrunnable)
"""Errors that the artifact causes. Any other error is the machine's, so it is worth another try."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Rows:
    """Test rows with their answers, and the digest of both."""

    features: npt.NDArray[np.float32]
    answers: npt.NDArray[np.generic]
    sha256: str


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The artifact store and the directory of the trusted keys. Keys may change, so they are read each time."""

    store: ArtifactStore
    keys: Path

    def read(self, version: resources.Version, file: str) -> bytes:
        """Raises ArtifactError when the file is missing, changed or not signed for this version."""
        files = unseal(self.store, version.artifact, version.name, load_trusted(self.keys))
        if file not in files:
            raise Unmeasurable(f"the artifact of {version.name} has no {file}")
        return self.store.get(files[file])


def score(artifacts: Artifacts, version: resources.Version) -> tuple[facts.EvaluationReport, Rows]:
    """The version's report on its own rows. Raises one of CANNOT_BE_SCORED."""
    rows = read_rows(artifacts.read(version, TEST_ROWS_FILE))
    return score_on(artifacts, version, version.configuration.task, rows), rows


def score_baseline(
    artifacts: Artifacts, baseline: resources.Version, task: str, rows: Rows
) -> facts.EvaluationReport | None:
    """The live version's report on the candidate's rows; None when it cannot run on them, as with other features.

    The candidate is not at fault then, so the evaluation does not fail.
    """
    try:
        return score_on(artifacts, baseline, task, rows)
    except CANNOT_BE_SCORED as error:
        where = {"version": baseline.name, "reason": str(error)}
        logger.warning("the live version cannot run on the candidate's rows", extra=where)
        return None


def score_on(artifacts: Artifacts, version: resources.Version, task: str, rows: Rows) -> facts.EvaluationReport:
    """The version's report on the rows. A binary task uses the version's own threshold."""
    started = time.monotonic()
    threshold = version.configuration.evaluate.threshold or DEFAULT_THRESHOLD
    predictions = predict(artifacts.read(version, MODEL_FILE), rows.features)
    measured = measure(task, predictions, rows.answers, threshold)
    return report_of(measured, rows, int((time.monotonic() - started) * 1000))


def report_of(measured: Measured, rows: Rows, duration_ms: int) -> facts.EvaluationReport:
    """The measurements as they are recorded: metrics in the order of their names."""
    return facts.EvaluationReport(
        rows=len(rows.answers),
        rows_sha256=rows.sha256,
        metrics=[facts.Metric(name=name, value=value) for name, value in sorted(measured.metrics.items())],
        confusion=[
            facts.ConfusionCell(actual=actual, predicted=predicted, count=count)
            for (actual, predicted), count in measured.confusion.items()
        ],
        duration_ms=duration_ms,
    )


def read_rows(data: bytes) -> Rows:
    """The test rows of an artifact: float32 features and one answer for each row. Raises Unmeasurable."""
    try:
        tensors = load(data)
        features, answers = tensors[FEATURES_TENSOR], tensors[ANSWERS_TENSOR]
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        names = f"{FEATURES_TENSOR} and {ANSWERS_TENSOR}"
        raise Unmeasurable(f"{TEST_ROWS_FILE} holds no tensors {names}: {error!r}") from error
    if features.dtype != np.float32 or features.ndim < 2:
        found = f"{FEATURES_TENSOR} is {features.dtype} of shape {features.shape}"
        raise Unmeasurable(f"{TEST_ROWS_FILE}: {found}, expected float32 rows of features")
    if answers.ndim < 1 or len(answers) != len(features):
        found = f"{FEATURES_TENSOR} has the shape {features.shape} and {ANSWERS_TENSOR} {answers.shape}"
        raise Unmeasurable(f"{TEST_ROWS_FILE}: {found}, expected one answer for each row")
    digest = hashlib.sha256(np.ascontiguousarray(features).tobytes())
    digest.update(np.ascontiguousarray(answers).tobytes())
    return Rows(features, answers, digest.hexdigest())
