"""The side process that loads models before the gateway does.

It reads models from its standard input, each after its length, and answers each with one line of JSON. The length 0 is
the request to run the last model on extreme values.
"""

import json
import os
import select
import sys
from contextlib import suppress

from headgate.runtime.parent import end_first_for_memory, end_with_parent
from services.gateway.loading.extremes import extreme_inputs
from services.gateway.loading.onnx_loading import load_onnx
from services.gateway.loading.trial import LENGTH
from services.gateway.onnx_errors import MODEL_ERRORS
from services.gateway.sessions import LoadedVersion

MAX_ERROR_CHARACTERS = 500


def main() -> None:
    end_with_parent(int(sys.argv[1]))
    idle_seconds = float(sys.argv[2])
    end_first_for_memory()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # Output of libraries must not mix with the answers.
    loaded: LoadedVersion | None = None
    error = ""
    while select.select([sys.stdin], [], [], idle_seconds)[0]:
        header = sys.stdin.buffer.read(LENGTH.size)
        if len(header) < LENGTH.size:
            return
        (length,) = LENGTH.unpack(header)
        if length:
            loaded, error = _load(sys.stdin.buffer.read(length))
        elif loaded is not None:
            _run_on_extremes(loaded)
        print(json.dumps({"error": error}), file=answers, flush=True)


def _load(onnx_bytes: bytes) -> tuple[LoadedVersion | None, str]:
    """The model, or why it cannot be served."""
    try:
        return load_onnx("trial", 0, onnx_bytes), ""
    except Exception as error:  # noqa: BLE001  # whatever the model raises is the answer
        return None, f"{error}"[:MAX_ERROR_CHARACTERS] or type(error).__name__


def _run_on_extremes(loaded: LoadedVersion) -> None:
    """Ends this process if the model can end one. Errors of the model do not matter: its callers get them."""
    outputs = [spec.name for spec in loaded.outputs]
    for arrays in extreme_inputs(loaded.inputs):
        with suppress(*MODEL_ERRORS):
            loaded.predict(arrays, outputs)


if __name__ == "__main__":
    main()
