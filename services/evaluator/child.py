"""The process that measures one version. It is the only one of the evaluator that imports numpy and ONNX Runtime.

python -P -m services.evaluator.child PARENT

It reads its request as JSON from its standard input, and writes its answer as JSON.
"""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from headgate.artifacts.encryption.open import key_encryption
from headgate.artifacts.store import open_store
from headgate.domain.build_fold import MAX_LOG_TAIL
from headgate.runtime.parent import end_first_for_memory, end_with_parent
from headgate.v1 import resources_pb2 as resources
from services.evaluator.measuring import CannotBeScored, always, as_bytes, as_text
from services.evaluator.score import Artifacts, evaluated


def main() -> None:
    end_with_parent(int(sys.argv[1]))
    end_first_for_memory()
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # Output of libraries must not mix with the answer.
    json.dump(answer_to(json.load(sys.stdin)), answers)
    answers.flush()


def answer_to(request: dict[str, Any]) -> dict[str, str]:
    token = Path(request["encryption_token"]) if request["encryption_token"] else None
    store = open_store(request["artifacts"], keys=key_encryption(request["encryption_key"], token))
    artifacts = Artifacts(store, Path(request["keys"]))
    version = resources.Version.FromString(as_bytes(request["version"]))
    baseline = resources.Version.FromString(as_bytes(request["baseline"])) if request["baseline"] is not None else None
    try:
        finished = evaluated(artifacts, version, baseline, always)
    except CannotBeScored as error:
        return {"failed": str(error), "log_tail": error.log_tail}
    except Exception as error:  # noqa: BLE001  # whatever it is, the service must know why there is no report
        return {"error": f"{type(error).__name__}: {error}\n{traceback.format_exc()[-MAX_LOG_TAIL:]}"}
    return {"finished": as_text(finished.SerializeToString())}


if __name__ == "__main__":
    main()
