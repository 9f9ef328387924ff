"""One run of a measured evaluation, in a process of its own. Its arguments are a folder and what it does there.

- prepare ROWS: makes a signed version with so many test rows.
- whole: everything that the evaluator does with it, from reading the artifact to the intervals of its metrics.
- headgate: the part of it that runs the model on the rows.
- parts: the CPU seconds of each of its steps, and those of SHA-256 alone.
- onnxruntime: ONNX Runtime alone on the same rows, in batches of the same size.
"""

import hashlib
import json
import resource
import sys
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import load_file

from headgate.artifacts import layout
from headgate.artifacts.answers import BINARY
from headgate.evaluation_tables import DEFAULT_CONFIDENCE, DEFAULT_THRESHOLD
from headgate.v1 import resources_pb2 as resources
from services.evaluator.inference import load, predict
from services.evaluator.measuring import always
from services.evaluator.metrics.intervals import intervals
from services.evaluator.metrics.measure import rows_of
from services.evaluator.score import evaluated, read_rows
from tests.bench.evaluation import DIGEST, HEADGATE, PARTS, PREPARE, RUNTIME, WHOLE
from tests.evaluator import material
from tests.evaluator.material import artifacts_in, files_of, sealed_files

COLUMNS, HIDDEN, BATCH_SIZE, SEED = 50, 64, 256, 5
VERSION = "version.pb"


def main() -> None:
    folder, what = Path(sys.argv[1]), sys.argv[2]
    if what == PREPARE:
        prepare(folder, int(sys.argv[3]))
        print("{}")
        return
    if what == PARTS:
        print(json.dumps(dict(parts(folder))))
        return
    runs = {WHOLE: whole, HEADGATE: headgate, RUNTIME: onnxruntime_alone}
    print(json.dumps(runs[what](folder) | {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))


def prepare(folder: Path, rows: int) -> None:
    """A signed version with so many test rows, and the same files for ONNX Runtime alone."""
    random = np.random.default_rng(SEED)
    features = random.standard_normal((rows, COLUMNS), np.float32)
    answers = (features[:, 0] + random.standard_normal(rows, np.float32) > 0).astype(np.float32)
    files = files_of(network(random), material.rows_of(features, answers))
    version = sealed_files(artifacts_in(folder), folder, 1, files)
    version.configuration.train.batch_size = BATCH_SIZE
    (folder / VERSION).write_bytes(version.SerializeToString())
    for name, data in files.items():
        (folder / name).write_bytes(data)


def whole(folder: Path) -> dict[str, float]:
    artifacts, version = artifacts_in(folder), resources.Version.FromString((folder / VERSION).read_bytes())
    wall, cpu = time.perf_counter(), time.process_time()
    evaluated(artifacts, version, None, always)
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def parts(folder: Path) -> Iterator[tuple[str, float]]:
    """By name, in their order."""
    files = artifacts_in(folder).files_of(resources.Version.FromString((folder / VERSION).read_bytes()))
    began = time.process_time()
    data = files.view(layout.TEST_ROWS_FILE)
    yield "read and check", time.process_time() - began
    began = time.process_time()
    hashlib.sha256(data).hexdigest()
    yield DIGEST, time.process_time() - began
    rows, session = read_rows(data, "", BATCH_SIZE), load(files.read(layout.MODEL_FILE))
    began = time.process_time()
    predictions = predict(session, rows.features, rows.batch_size)[layout.OUTPUT]
    yield "run", time.process_time() - began
    began = time.process_time()
    measured = rows_of(BINARY, predictions, next(iter(rows.answers.values())), DEFAULT_THRESHOLD)
    scores, _ = measured.scores(), measured.confusion()
    yield "metrics", time.process_time() - began
    began = time.process_time()
    intervals(measured, scores, DEFAULT_CONFIDENCE)
    yield "intervals", time.process_time() - began


def headgate(folder: Path) -> dict[str, float]:
    session = load((folder / layout.MODEL_FILE).read_bytes())
    rows = read_rows((folder / layout.TEST_ROWS_FILE).read_bytes(), "", BATCH_SIZE)
    wall, cpu = time.perf_counter(), time.process_time()
    predict(session, rows.features, rows.batch_size)
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def onnxruntime_alone(folder: Path) -> dict[str, float]:
    session = load((folder / layout.MODEL_FILE).read_bytes())
    features = load_file(folder / layout.TEST_ROWS_FILE)[layout.FEATURES_TENSOR]
    wall, cpu = time.perf_counter(), time.process_time()
    answers = [
        session.run(None, {layout.INPUT: features[start : start + BATCH_SIZE]})[0]
        for start in range(0, len(features), BATCH_SIZE)
    ]
    np.concatenate(answers)
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def network(random: np.random.Generator) -> bytes:
    """50 - 64 - 64 - 1, as the trainer exports it."""
    sizes, value, nodes, weights = (COLUMNS, HIDDEN, HIDDEN, 1), layout.INPUT, [], []
    for number, (taken, given) in enumerate(pairwise(sizes)):
        weights += [
            numpy_helper.from_array(random.standard_normal((taken, given), np.float32) / 8, f"weight{number}"),
            numpy_helper.from_array(np.zeros(given, np.float32), f"bias{number}"),
        ]
        last = number == len(sizes) - 2
        output = layout.OUTPUT if last else f"hidden{number}"
        nodes += [
            helper.make_node("Gemm", [value, f"weight{number}", f"bias{number}"], [f"sum{number}"]),
            helper.make_node("Sigmoid" if last else "Relu", [f"sum{number}"], [output]),
        ]
        value = output
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info(layout.INPUT, TensorProto.FLOAT, ["batch", COLUMNS])],
        [helper.make_tensor_value_info(layout.OUTPUT, TensorProto.FLOAT, ["batch", 1])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


if __name__ == "__main__":
    main()
