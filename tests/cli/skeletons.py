"""Trains the skeleton of each task to the end, in one process, so that torch starts once.

python -P skeletons.py DIRECTORY: prints what became of each repository in it as one line of JSON.
"""

import importlib
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# The script runs with -P, so its own packages are found by the path of the repository.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from headgate.artifacts.findings import findings_in
from headgate.artifacts.layout import TRAINING_FILE
from headgate.configuration import FILE_NAME, parse
from headgate.domain.gate import decide_gate
from headgate.v1 import resources_pb2 as resources
from services.evaluator.inference import load
from services.evaluator.metrics.measure import Options
from services.evaluator.report import add_findings
from services.evaluator.score import read_rows, score_on
from services.trainer.attempt.environment import training_environment
from services.trainer.attempt.new_job import job_of
from services.trainer.attempt.tools import Limits
from services.trainer.child import process as child
from services.trainer.child.warming import warm_up
from services.trainer.job import ARTIFACT_DIRECTORY, PROGRESS


def main() -> None:
    warm_up()  # as the training process does; later exports take half the time
    print(json.dumps({folder.name: outcome(folder) for folder in sorted(Path(sys.argv[1]).iterdir())}))


def outcome(folder: Path) -> dict[str, Any]:
    """The last line of the training's progress, the tests that passed, and what the gate says."""
    parsed = parse((folder / FILE_NAME).read_bytes())
    data = {file.name: folder / file.uri for file in parsed.data}
    with TemporaryDirectory() as scratch:
        os.chdir(folder)
        job = job_of(folder, parsed, data, training_environment(), Limits())
        with (Path(scratch) / PROGRESS).open("w", buffering=1) as progress:
            child.run_job(job, Path(scratch), progress)
        last = json.loads((Path(scratch) / PROGRESS).read_text().splitlines()[-1])
        if "finished" not in last:
            return last
        tests = importlib.import_module("test_model")
        passed = [test() for name, test in vars(tests).items() if name.startswith("test_")]
        files = Path(scratch) / ARTIFACT_DIRECTORY
        rows = read_rows((files / "test.safetensors").read_bytes(), "", job.batch_size)
        report = score_on(load((files / "model.onnx").read_bytes()), parsed, Options(), rows)
        add_findings(report, findings_in((files / TRAINING_FILE).read_bytes()))
    for module in ("model", "test_model"):
        sys.modules.pop(module)
    sys.path.remove(str(folder))
    gate = decide_gate(resources.Version(configuration=parsed, report=report))
    return {
        "tests": len(passed),
        "passed": gate.passed,
        "gate": [result.explanation for result in gate.results],
        "undefined": [metric.name for metric in report.undefined],
    }


if __name__ == "__main__":
    main()
