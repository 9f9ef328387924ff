"""A process that trains the repository of each kind, as the training process does, so that torch starts once.

python -P kinds_process.py DIRECTORY
"""

import json
import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

# The script runs with -P, so its own package is found by the path of the repository.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from services.trainer.child.context import TrainingContext
from services.trainer.child.warming import warm_up
from services.trainer.job import CHECKPOINT, RESUME, Job
from tests.trainer.cases import differing, files_of, model_in, outcome_of, progress_lines, run_job_in
from tests.trainer.kinds import KINDS
from tests.trainer.measured_models import MEASURED, UNMEASURED

RESUMED = ("a dataset", "a loader", "two heads")
JOB = Job(
    checkout="",
    module="",
    task="binary",
    data={},
    parameters={},
    loss="bce",
    optimizer="adam",
    learning_rate=0.1,
    momentum=0.0,
    weight_decay=0.0,
    epochs=2,
    batch_size=4,
    seed=7,
    environment={},
    checkpoint_seconds=0.0,
)


def main() -> None:
    directory = Path(sys.argv[1])
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    warm_up()
    found = {
        name: outcome_of(model_in(str(directory), name, kind.text, replace(JOB, **kind.job)))
        for name, kind in (KINDS | MEASURED | UNMEASURED).items()
    }
    for name in RESUMED:
        found[name]["differing after a kill"] = interrupted_and_resumed(directory, name)
    (directory / "outcomes.json").write_text(json.dumps(found))


def interrupted_and_resumed(directory: Path, name: str) -> list[str]:
    """The files that differ when the training ends after its first epoch and another one goes on."""
    module = f"model_{name.replace(' ', '_')}"
    job = replace(JOB, checkout=str(directory), module=module, **KINDS[name].job)
    lost, resumed = directory / f"{module}_lost", directory / f"{module}_resumed"
    report = TrainingContext.epoch
    TrainingContext.epoch = interrupted_after_one(report)  # type: ignore[method-assign]
    run_job_in(job, lost)
    TrainingContext.epoch = report  # type: ignore[method-assign]
    resumed.mkdir()
    (lost / CHECKPOINT).rename(resumed / RESUME)
    run_job_in(job, resumed)
    assert progress_lines(resumed)[-1]["finished"]["resumed_from"] == 1
    return differing(files_of(directory / module), resumed)


def interrupted_after_one(epoch: Callable[..., None]) -> Callable[..., None]:
    def report(context: TrainingContext, *losses: float) -> None:
        epoch(context, *losses)
        raise RuntimeError("interrupted")

    return report


if __name__ == "__main__":
    main()
