"""`make bench` runs all measurements, prints a table, and writes .cache/bench/results.json."""

import argparse
import json
import platform
import sys
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from tests.bench import (
    access,
    attempts,
    batching,
    data_memory,
    encryption,
    evaluation,
    grpc_predictions,
    idle,
    jail,
    many_models,
    pages,
    past,
    prediction,
    prediction_metrics,
    publish,
    registry,
    replay,
    rest,
    swaps,
    tls,
    training,
    view,
    webhooks,
)
from tests.bench.page import as_page, machine
from tests.bench.results import Results

ROOT = Path(__file__).resolve().parent.parent.parent
DOCS = ROOT / "docs" / "benchmarks.md"
CACHE = ROOT / ".cache" / "bench"
PEER_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
MEASUREMENTS = {
    "access": access.measure,
    "replay": replay.measure,
    "past": past.measure,
    "view": view.measure,
    "webhooks": webhooks.measure,
    "memory": registry.measure_memory,
    "registry": registry.measure,
    "pages": pages.measure,
    "kafka": registry.measure_kafka,
    "publish": publish.measure,
    "prediction": prediction.measure,
    "predictions": prediction_metrics.measure,
    "tls": tls.measure,
    "grpc": grpc_predictions.measure,
    "rest": rest.measure,
    "batching": batching.measure,
    "models": many_models.measure,
    "swaps": swaps.measure,
    "evaluation": evaluation.measure,
    "training": training.measure,
    "idle": idle.measure,
    "attempts": attempts.measure,
    "jail": jail.measure,
    "data": data_memory.measure,
    "encryption": encryption.measure,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer facts and shorter slices: about ten minutes")
    parser.add_argument("--docs", action="store_true", help="writes the table into docs/benchmarks.md too")
    parser.add_argument("--only", choices=MEASUREMENTS, action="append", help="runs this measurement; may be repeated")
    arguments = parser.parse_args()
    CACHE.mkdir(parents=True, exist_ok=True)
    results = Results()
    results.versions.update({name: version(name) for name in ("grpcio", "protobuf")})
    results.versions["python"] = platform.python_version()
    for name, measure in MEASUREMENTS.items():
        if not arguments.only or name in arguments.only:
            measure(results, CACHE, PEER_PYTHON, arguments.quick)
    (CACHE / "results.json").write_text(json.dumps(results.as_json(), indent=2) + "\n")
    if arguments.docs:
        DOCS.write_text(as_page(results, machine(), datetime.now(UTC).date().isoformat()))
    print(results.as_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
