"""Measures a version in a process of its own: ONNX Runtime takes much memory, and a model can end its process.

The service itself imports neither numpy nor ONNX Runtime, and keeps no memory of an evaluation that has ended.
"""

import base64
import json
import logging
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

POLL_SECONDS = 0.25
"""How often it is asked whether the evaluation is still held."""
MEASURING_SECONDS = 3600.0
"""The longest that measuring one version may take."""
MAX_ANSWER_BYTES = 64 * 1024 * 1024
PART_BYTES = 64 * 1024
NOT_BY_THE_MODEL = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
"""Signals that come from outside."""
OUT_OF_MEMORY = (
    ". The system sends it when memory runs out: use fewer test rows or a smaller train.batch_size,"
    " or give the evaluator more memory"
)

logger = logging.getLogger(__name__)


class NotHeld(Exception):
    """This worker holds the evaluation no longer: the version was cancelled, or another worker took it over."""


class CannotBeScored(Exception):
    """The artifact cannot be measured. `log_tail` has where that was found."""

    def __init__(self, reason: str, log_tail: str = "") -> None:
        super().__init__(reason)
        self.log_tail = log_tail


class MeasuringFailed(Exception):
    """The process could not measure, and the artifact is not the cause. Another try may succeed."""


def always() -> bool:
    return True


Measure = Callable[[resources.Version, resources.Version | None, Callable[[], bool]], facts.EvaluationFinished]
"""Measures a version, and the live one beside it if there is one. Asks from time to time whether it is still held.

Raises CannotBeScored, NotHeld and MeasuringFailed.
"""


@dataclass(frozen=True, slots=True)
class MeasuringProcess:
    """Starts a process for each evaluation."""

    artifacts: str
    """URL of the artifact store."""
    keys: Path
    """Directory of the trusted keys."""
    encryption_key: str = ""
    """URL of the key that encrypts the store; empty for none."""
    encryption_token: Path | None = None
    """File with the token for the Vault that has the key."""
    limit_seconds: float = MEASURING_SECONDS

    def __call__(
        self, version: resources.Version, baseline: resources.Version | None, is_held: Callable[[], bool] = always
    ) -> facts.EvaluationFinished:
        """Raises CannotBeScored, NotHeld and MeasuringFailed."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "services.evaluator.child", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        with process:  # closes its pipes and waits for its end
            try:
                answer = _answer_of(process, self._request(version, baseline), is_held, self.limit_seconds)
            finally:
                process.kill()
        finished = _finished(answer, process.returncode)
        if finished.baseline_failure and baseline is not None:
            what = {"version": baseline.name, "reason": finished.baseline_failure}
            logger.warning("the live version cannot be measured", extra=what)
        return finished

    def _request(self, version: resources.Version, baseline: resources.Version | None) -> bytes:
        request = {
            "artifacts": self.artifacts,
            "keys": str(self.keys),
            "encryption_key": self.encryption_key,
            "encryption_token": str(self.encryption_token or ""),
            "version": as_text(version.SerializeToString()),
            "baseline": as_text(baseline.SerializeToString()) if baseline is not None else None,
        }
        return json.dumps(request).encode()


def _answer_of(
    process: "subprocess.Popen[bytes]", request: bytes, is_held: Callable[[], bool], limit_seconds: float
) -> bytes:
    """All that the process writes.

    Raises NotHeld, CannotBeScored after the limit, and MeasuringFailed for an answer that is too long.
    """
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(request)
        process.stdin.close()
    except BrokenPipeError:
        logger.debug("the process has ended before it had read its request")
    answer, ends_at = b"", time.monotonic() + limit_seconds
    while True:
        if not is_held():
            raise NotHeld
        if time.monotonic() > ends_at:
            raise CannotBeScored(
                f"measuring took longer than {limit_seconds:g} s: use fewer test rows or a smaller model"
            )
        if not select.select([process.stdout], [], [], POLL_SECONDS)[0]:
            continue
        part = os.read(process.stdout.fileno(), PART_BYTES)
        if not part:
            process.wait()
            return answer
        answer += part
        if len(answer) > MAX_ANSWER_BYTES:
            raise MeasuringFailed(f"the process that measures wrote more than {MAX_ANSWER_BYTES} bytes")


def _finished(answer: bytes, exit_code: int) -> facts.EvaluationFinished:
    """Raises CannotBeScored and MeasuringFailed."""
    if exit_code < 0 and -exit_code not in NOT_BY_THE_MODEL:
        cause = OUT_OF_MEMORY if -exit_code == signal.SIGKILL else ""
        raise CannotBeScored(f"the process that ran the model ended with {signal.Signals(-exit_code).name}{cause}")
    try:
        found: dict[str, Any] = json.loads(answer)
    except ValueError as error:
        raise MeasuringFailed(f"the process that measures ended with exit code {exit_code}") from error
    if "failed" in found:
        raise CannotBeScored(found["failed"], found["log_tail"])
    if "error" in found:
        raise MeasuringFailed(found["error"])
    return facts.EvaluationFinished.FromString(as_bytes(found["finished"]))


def as_text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def as_bytes(text: str) -> bytes:
    return base64.b64decode(text)
