"""An attempt at a repository that builds its ONNX file itself: the same stages, the same artifact and provenance."""

import json
from pathlib import Path

from headgate.artifacts import layout
from headgate.v1 import facts_pb2 as facts
from tests.artifacts import graph_material
from tests.trainer.conftest import Trial
from tests.trainer.repositories import DATA, git, repository

MODEL = """
import material, numpy as np

def datasets(context):
    rows = np.linspace(0, 1, 20, dtype=np.float32).reshape(10, 2)
    return {"test": (rows, (rows[:, 0] > 0.5).astype(np.int64))}

def build(context):
    print("numbers:", context.data["numbers"].read_text().strip())
    return material.tree(context.parameters["threshold"])
"""
TOML = """
[model]
name = "tiny"
task = "binary"
[code]
kind = "onnx"
module = "model"
tests = "python -c pass"
[data]
numbers = {{ uri = "data/numbers.csv", sha256 = "{sha256}" }}
[parameters]
threshold = 0.5
[evaluate]
metrics = ["auc"]
"""


def built_repository(directory: Path, model: str = MODEL) -> tuple[str, str]:
    source, _ = repository(directory, model, {"material.py": Path(graph_material.__file__).read_bytes()})
    sha256 = (directory / "headgate.toml").read_text().split('sha256 = "')[1][:64]
    (directory / "headgate.toml").write_text(TOML.format(sha256=sha256))
    git(directory, "commit", "-qam", "Builds its file")
    return source, git(directory, "rev-parse", "HEAD")


def test_the_artifact_is_signed_and_its_provenance_names_the_commit(trial: Trial, tmp_path: Path) -> None:
    source = built_repository(tmp_path / "tiny")

    report = trial.run(source)

    assert report is not None
    finished = report.report_training_finished.fact
    assert {file.name for file in finished.artifact.files} >= {*layout.BUILT_FILES, layout.PROVENANCE_FILE}, report
    digests = {file.name: file.sha256 for file in finished.artifact.files}
    assert trial.tools.store.get(digests[layout.MODEL_FILE]) == graph_material.tree().SerializeToString()
    provenance = json.loads(trial.tools.store.get(digests[layout.PROVENANCE_FILE]))
    assert provenance["predicate"]["buildDefinition"]["externalParameters"]["commit"] == source[1]
    assert f"numbers: {DATA.strip()}" in trial.tools.store.get(finished.log.sha256).decode()
    assert (finished.epochs, finished.attempt) == (0, 1)


def test_a_file_that_is_refused_fails_the_attempt_at_the_export(trial: Trial, tmp_path: Path) -> None:
    left = MODEL.replace('material.tree(context.parameters["threshold"])', "material.with_zipmap()")

    report = trial.run(built_repository(tmp_path / "tiny", left))

    assert report is not None
    failed = report.report_training_failed.fact
    assert failed.stage == facts.STAGE_EXPORT
    assert "options={'zipmap': False}" in failed.reason
