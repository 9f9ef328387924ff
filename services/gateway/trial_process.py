"""The side process that loads models before the gateway does.

It reads models from its standard input, each after its length, and answers each with one line of JSON.
"""

import json
import os
import select
import sys
from contextlib import suppress
from pathlib import Path

from headgate.runtime.parent import end_with_parent
from services.gateway.sessions import load_onnx
from services.gateway.trial import LENGTH

MAX_ERROR_CHARACTERS = 500
OOM_SCORE = "1000"


def main() -> None:
    end_with_parent(int(sys.argv[1]))
    idle_seconds = float(sys.argv[2])
    with suppress(OSError):
        # When memory runs out, the kernel ends this process before the gateway.
        Path("/proc/self/oom_score_adj").write_text(OOM_SCORE)
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # Output of libraries must not mix with the answers.
    while select.select([sys.stdin], [], [], idle_seconds)[0]:
        header = sys.stdin.buffer.read(LENGTH.size)
        if len(header) < LENGTH.size:
            return
        error = _try(sys.stdin.buffer.read(*LENGTH.unpack(header)))
        print(json.dumps({"error": error}), file=answers, flush=True)


def _try(onnx_bytes: bytes) -> str:
    """Why the model cannot be served, or an empty string."""
    try:
        load_onnx("trial", 0, onnx_bytes)
    except Exception as error:  # noqa: BLE001  # whatever the model raises is the answer
        return f"{error}"[:MAX_ERROR_CHARACTERS] or type(error).__name__
    return ""


if __name__ == "__main__":
    main()
