"""An attempt of an imported version."""

import hashlib
from dataclasses import replace

from headgate.configuration import parse
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.trainer.attempt.work import run_attempt
from tests.gateway import networks
from tests.trainer.conftest import CLAIM, Trial

CONFIGURATION = b'[model]\nname = "tiny"\ntask = "regression"\n[evaluate]\nmetrics = ["mse"]\n'
ROWS = b"a,b,c,label\n1e15,1e15,1e15,1\n"
"""The model counts up to these values, which takes years."""


def test_an_import_of_a_graph_that_loops_ends_after_a_limit_of_its_own(trial: Trial) -> None:
    data = networks.counting()
    for content in (data, ROWS):
        trial.tools.store.put(content)
    upload = facts.Upload(
        model_sha256=hashlib.sha256(data).hexdigest(),
        rows_sha256=hashlib.sha256(ROWS).hexdigest(),
        file_name="loop.onnx",
        configuration=parse(CONFIGURATION, imported=True),
    )
    tools = replace(trial.tools, limits=replace(trial.tools.limits, import_seconds=1.0))
    version = resources.Version(version=1, build=resources.BUILD_STATE_TESTING, attempt=1, upload=upload)

    report = run_attempt(tools, CLAIM, version)

    assert report is not None
    failed = report.report_training_failed.fact
    assert (failed.stage, failed.reason) == (facts.STAGE_TRAINING, "the import took longer than 1 s")
