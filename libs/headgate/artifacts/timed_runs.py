"""Loads and calls of ONNX Runtime that end: a graph may have a loop without an end, or much to compute while it loads.

ONNX Runtime has no limit of its own.
"""

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import onnxruntime

from headgate.watchdog import Watchdog

MAX_CALL_SECONDS = 300.0
"""The longest that a model may take for one batch. A large one takes minutes for a thousand rows on one core."""
MAX_LOAD_SECONDS = 120.0
"""The longest that a model may take to load. A gateway gives it no longer, and the largest file needs a few seconds."""
FATAL_ONLY = 4
STATUS = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
NODE = re.compile(r"^Non-zero status code returned while running (\w+) node\. Name:'[^']*' Status Message: ")
SOURCE = re.compile(r"^\S+\.(?:cc|h):\d+ .*?\) ?")
MEMORY = re.compile(r"Failed to allocate memory for requested buffer of size (\d+)")

Call = Callable[[Sequence[str], Mapping[str, Any]], list[Any]]
"""Takes the names of the outputs and the inputs by name. Raises TookTooLong and what ONNX Runtime raises."""


class TookTooLong(Exception):
    """The model did not load, or did not answer one batch, within the limit."""


NO_ANSWER = (
    "it gave no answer within {:g} s. Look for a loop without an end, or use a smaller model or train.batch_size"
)
NOT_LOADED = (
    "it did not load within {:g} s. ONNX Runtime computes all that follows from constants while it loads: store the"
    " results as weights, or use a smaller model"
)


def timed_load(
    data: bytes, options: onnxruntime.SessionOptions, limit_seconds: float = MAX_LOAD_SECONDS
) -> onnxruntime.InferenceSession:
    """The model, loaded on the CPU. It prints nothing. Raises TookTooLong and what ONNX Runtime raises.

    A load that took too long may go on for a while in its thread, so a process that gets TookTooLong should end.
    """
    options.log_severity_level = FATAL_ONLY  # errors are raised, and a warning would come again with each batch
    done: list[onnxruntime.InferenceSession | Exception] = []

    def load() -> None:
        try:
            done.append(onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"]))
        except Exception as error:  # noqa: BLE001  # raised again below
            done.append(error)

    thread = threading.Thread(target=load, name="model-load", daemon=True)
    thread.start()
    thread.join(limit_seconds)
    if not done:
        options.set_load_cancellation_flag(True)  # looked at between the steps of a load, which may take long
        raise TookTooLong(NOT_LOADED.format(limit_seconds))
    if isinstance(done[0], Exception):
        raise done[0]
    return done[0]


@contextmanager
def timed_calls(session: onnxruntime.InferenceSession, limit_seconds: float = MAX_CALL_SECONDS) -> Iterator[Call]:
    """Calls of the session, each of which ends within the limit."""
    options = onnxruntime.RunOptions()
    watchdog = Watchdog(limit_seconds, lambda: setattr(options, "terminate", True))

    def call(names: Sequence[str], features: Mapping[str, Any]) -> list[Any]:
        watchdog.beat()
        try:
            answers: list[Any] = session.run(names, dict(features), options)
        except Exception as error:
            if watchdog.has_acted:
                raise TookTooLong(NO_ANSWER.format(limit_seconds)) from error
            raise
        return answers

    with watchdog:
        yield call


def reason_of(error: Exception) -> str:
    """What ONNX Runtime says, without its codes and the places in its source."""
    text = STATUS.sub("", str(error))
    node = NODE.match(text)
    text = SOURCE.sub("", NODE.sub("", text))
    if memory := MEMORY.search(text):
        text = (
            f"it asks for {memory[1]} bytes of memory at once, and there is not so much. Use a smaller model or batch"
        )
    return f"{node[1]}: {text}" if node else text
