"""Runs a trained version on its test rows and measures its predictions.

Only bytes that the signed manifest names are run. The baseline always runs on the candidate's rows.
"""

import time
import traceback
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from headgate.artifacts.answers import BINARY, CUSTOM, MULTILABEL, from_probabilities
from headgate.artifacts.findings import Findings, WrongFindings, findings_in
from headgate.artifacts.keys import load_trusted
from headgate.artifacts.layout import (
    ANSWERS_TENSOR,
    FEATURES_TENSOR,
    MODEL_FILE,
    TEST_ROWS_FILE,
    TRAINING_FILE,
    Unclear,
    answers_in,
    features_in,
)
from headgate.artifacts.layout import measured as measured_name
from headgate.artifacts.manifest import unseal
from headgate.artifacts.row_file import WrongRows, rows_from_bytes
from headgate.artifacts.slices import WrongSlice, rows_in
from headgate.artifacts.store import ArtifactError, ArtifactStore
from headgate.configuration import ONNX
from headgate.domain.build_fold import MAX_LOG_TAIL
from headgate.domain.names import in_words
from headgate.evaluation_tables import DEFAULT_CONFIDENCE, DEFAULT_THRESHOLD
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.evaluator.inference import Named, Unrunnable, load, outputs_of, predict
from services.evaluator.measuring import CannotBeScored, always
from services.evaluator.metrics.measure import Measured, Options, measure
from services.evaluator.metrics.scores import Scores, Unmeasurable
from services.evaluator.report import add_findings, add_own_metrics_of_live, report_of
from services.evaluator.signature import signature_change

MAX_REASON = 1_000

CANNOT_BE_SCORED = (ArtifactError, Unmeasurable, Unrunnable)
"""Errors that the artifact causes. Any other error is the machine's, so it is worth another try."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Test rows by input, answers by name, the digest of their file, and the size of the training's batches."""

    features: Named
    answers: Named
    sha256: str
    batch_size: int

    @property
    def count(self) -> int:
        return len(next(iter(self.answers.values())))


@dataclass(frozen=True, slots=True)
class Artifacts:
    """The artifact store and the directory of the trusted keys. Keys may change, so they are read each time."""

    store: ArtifactStore
    keys: Path

    def files_of(self, version: resources.Version) -> "SignedFiles":
        """Raises ArtifactError when the manifest is missing, changed or not signed for this version."""
        digests = unseal(self.store, version.artifact, version.name, load_trusted(self.keys))
        return SignedFiles(self.store, version.name, digests)


@dataclass(frozen=True, slots=True)
class SignedFiles:
    """The files of one version, with the digests that its signed manifest gives them."""

    store: ArtifactStore
    version: str
    digests: Mapping[str, str]

    def read(self, file: str) -> bytes:
        """Raises as `view` does."""
        return bytes(self.view(file))

    def view(self, file: str) -> memoryview:
        """The file, held in memory once.

        Raises Unmeasurable when there is no such file, and ArtifactError when it is missing or changed.
        """
        if file not in self.digests:
            raise Unmeasurable(f"the artifact of {in_words(self.version)} has no {file}")
        return self.store.view(self.digests[file])

    def read_if_there(self, file: str) -> bytes | None:
        """None when the artifact has no such file. Raises ArtifactError when it is missing or changed."""
        return self.store.get(self.digests[file]) if file in self.digests else None


@dataclass(frozen=True, slots=True)
class Scored:
    """A version's report on its own rows, and what it was measured with."""

    report: facts.EvaluationReport
    declared: configuration.ModelConfiguration
    rows: Rows
    session: onnxruntime.InferenceSession


@dataclass(frozen=True, slots=True)
class Comparison:
    """The live version beside the candidate: its report on the candidate's rows, or the reason why there is none."""

    report: facts.EvaluationReport | None
    failure: str
    signature_change: str


def evaluated(
    artifacts: Artifacts, version: resources.Version, baseline: resources.Version | None, is_held: Callable[[], bool]
) -> facts.EvaluationFinished:
    """The version's report, and that of the live version on the same rows. Raises CannotBeScored and NotHeld."""
    try:
        scored = score(artifacts, version, is_held)
    except CANNOT_BE_SCORED as error:
        raise CannotBeScored(str(error)[:MAX_REASON], traceback.format_exc()[-MAX_LOG_TAIL:]) from error
    finished = facts.EvaluationFinished(version=version.version, attempt=version.attempt, report=scored.report)
    if baseline is not None:
        finished.baseline_version = baseline.version
        compared = compare(artifacts, scored, baseline, is_held)
        finished.baseline_failure, finished.signature_change = compared.failure, compared.signature_change
        if compared.report is not None:
            finished.baseline_report.CopyFrom(compared.report)
    return finished


def score(artifacts: Artifacts, version: resources.Version, is_held: Callable[[], bool] = always) -> Scored:
    """Measures a version on its own rows. Raises one of CANNOT_BE_SCORED, and NotHeld."""
    files = artifacts.files_of(version)
    data = files.view(TEST_ROWS_FILE)
    rows = read_rows(data, files.digests[TEST_ROWS_FILE], version.configuration.train.batch_size)
    session = load(files.read(MODEL_FILE))
    declared, findings = version.configuration, findings_of(files)
    options = options_of(declared.evaluate, declared.evaluate, findings, rows)
    report = score_on(session, declared, options, rows, is_held)
    add_findings(report, findings)
    return Scored(report, declared, rows, session)


def compare(
    artifacts: Artifacts, candidate: Scored, live: resources.Version, is_held: Callable[[], bool] = always
) -> Comparison:
    """The live version on the candidate's rows. It may not fit them: then only the rules that compare are not met.

    Raises NotHeld.
    """
    changed = ""
    try:
        files = artifacts.files_of(live)
        session = load(files.read(MODEL_FILE))
        changed = signature_change(candidate.session, session, f"version {live.version}")
        if live.configuration.task != candidate.declared.task:
            tasks = f"its task is {live.configuration.task}, and the candidate's is {candidate.declared.task}"
            raise Unmeasurable(tasks)
        rows, findings = candidate.rows, findings_of(files)
        options = options_of(live.configuration.evaluate, candidate.declared.evaluate, findings, rows)
        report = score_on(session, live.configuration, options, rows, is_held)
        add_own_metrics_of_live(report, findings, same_rows=files.digests.get(TEST_ROWS_FILE) == rows.sha256)
        return Comparison(report, "", changed)
    except CANNOT_BE_SCORED as error:
        return Comparison(None, str(error)[:MAX_REASON], changed)


def score_on(
    session: onnxruntime.InferenceSession,
    declared: configuration.ModelConfiguration,
    options: Options,
    rows: Rows,
    is_held: Callable[[], bool] = always,
) -> facts.EvaluationReport:
    """The report of a loaded version on the candidate's rows, by its own task.

    Raises Unrunnable, Unmeasurable and NotHeld.
    """
    started = time.monotonic()
    wanted = declared.network.measured
    if declared.task == CUSTOM:  # nothing is known about its outputs but that it has some for these rows
        predict(session, rows.features, rows.batch_size, is_held, wanted=())
        measured = Measured(rows.count, Scores())
    else:
        output = the_measured("outputs", outputs_of(session), wanted)
        predictions = predict(session, rows.features, rows.batch_size, is_held, wanted=(output,))[output]
        answers = rows.answers[the_measured("answers", rows.answers, wanted)]
        if declared.code.kind == ONNX:
            predictions = from_probabilities(declared.task, predictions)
        measured = measure(declared.task, predictions, answers, options)
    report = report_of(measured, rows.sha256, int((time.monotonic() - started) * 1000))
    if declared.task in (BINARY, MULTILABEL):
        report.threshold = options.threshold
    return report


def findings_of(files: SignedFiles) -> Findings:
    """What the version's training found out. Raises Unmeasurable and ArtifactError."""
    try:
        return findings_in(files.read_if_there(TRAINING_FILE) or b"{}")
    except WrongFindings as error:
        raise Unmeasurable(str(error)) from error


def options_of(
    declared: configuration.EvaluateConfiguration,
    candidate: configuration.EvaluateConfiguration,
    findings: Findings,
    rows: Rows,
) -> Options:
    """How a version is measured: with its own threshold, and with confidence and slices of the candidate.

    Records from before a field had presence lack it: those have the default. Raises Unmeasurable.
    """
    threshold = declared.threshold if declared.HasField("threshold") else DEFAULT_THRESHOLD
    if declared.HasField("threshold_choice"):
        if findings.threshold is None:
            raise Unmeasurable(f"{TRAINING_FILE} has no threshold, and evaluate.threshold asks for a chosen one")
        threshold = findings.threshold
    confidence = candidate.confidence if candidate.HasField("confidence") else DEFAULT_CONFIDENCE
    try:
        slices = {each.name: rows_in(each, rows.features) for each in candidate.slices}
    except WrongSlice as error:
        raise Unmeasurable(str(error)) from error
    return Options(threshold, confidence, slices)


def the_measured(what: str, names: Collection[str], declared: str) -> str:
    """The name of those that the task is about. Raises Unmeasurable."""
    try:
        return measured_name(names, declared)
    except Unclear as error:
        raise Unmeasurable(f"the {what} {error}") from error


def read_rows(data: bytes | memoryview, sha256: str, batch_size: int) -> Rows:
    """The test rows of an artifact: features for each input, and true answers for each row. Raises Unmeasurable."""
    try:
        tensors = rows_from_bytes(data)
    except WrongRows as error:
        raise Unmeasurable(f"{TEST_ROWS_FILE}: {error}") from error
    features, answers = features_in(tensors), answers_in(tensors)
    if not features or not answers:
        names = f"{FEATURES_TENSOR} and {ANSWERS_TENSOR}"
        raise Unmeasurable(f"{TEST_ROWS_FILE} holds no tensors {names}, nor any of their names")
    shapes = {name: tensors[name].shape for name in (*features.values(), *answers.values())}
    if len({shape[:1] for shape in shapes.values()}) != 1 or () in shapes.values():
        found = " and ".join(f"{name} has the shape {shape}" for name, shape in shapes.items())
        raise Unmeasurable(f"{TEST_ROWS_FILE}: {found}, expected one answer for each row")
    if 0 in next(iter(shapes.values()))[:1]:
        # Some operators end the process when they get no rows.
        raise Unmeasurable(f"{TEST_ROWS_FILE}: there are no test rows")
    return Rows(
        {name: tensors[tensor] for name, tensor in features.items()},
        {name: tensors[tensor] for name, tensor in answers.items()},
        sha256,
        batch_size,
    )
