"""A process that trains the repository of each kind, as the training process does, so that torch starts once.

python -P kinds_process.py DIRECTORY
"""

import json
import logging
import sys
from dataclasses import replace
from pathlib import Path

# The script runs with -P, so its own package is found by the path of the repository.
sys.path.append(str(Path(__file__).resolve().parents[2]))

from services.trainer.child.onnx_graph import warm_up
from services.trainer.job import Job
from tests.trainer.cases import model_in, outcome_of
from tests.trainer.kinds import KINDS

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
        for name, kind in KINDS.items()
    }
    (directory / "outcomes.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
