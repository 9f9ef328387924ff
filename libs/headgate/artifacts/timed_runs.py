"""Calls of ONNX Runtime that end: a graph may have a loop without an end, and ONNX Runtime has no limit of its own."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import onnxruntime

from headgate.watchdog import Watchdog

MAX_CALL_SECONDS = 300.0
"""The longest that a model may take for one batch. A large one takes minutes for a thousand rows on one core."""
STATUS = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
NODE = re.compile(r"^Non-zero status code returned while running (\w+) node\. Name:'[^']*' Status Message: ")
SOURCE = re.compile(r"^\S+\.(?:cc|h):\d+ .*?\) ?")
MEMORY = re.compile(r"Failed to allocate memory for requested buffer of size (\d+)")

Call = Callable[[Sequence[str], Mapping[str, Any]], list[Any]]
"""Takes the names of the outputs and the inputs by name. Raises TookTooLong and what ONNX Runtime raises."""


class TookTooLong(Exception):
    """The model did not answer one batch within the limit."""

    def __init__(self, limit_seconds: float) -> None:
        rule = f"it gave no answer within {limit_seconds:g} s"
        super().__init__(f"{rule}. Look for a loop without an end, or use a smaller model or train.batch_size")


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
                raise TookTooLong(limit_seconds) from error
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
