"""Runs requests that wait together for one version as one forward: their rows one below the other.

Only a version whose export has shown that it answers a row alone as beside others may do so. Each answer is then equal
to that of the request alone, up to the rounding of the kernels that ONNX Runtime chooses by the number of rows.
"""

import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from headgate.domain.words import counted
from services.gateway.batch_pace import MAX_ROWS
from services.gateway.forward import Answer, Forward
from services.gateway.pace import size_class
from services.gateway.sessions import Interruption
from services.gateway.tensors import Array, InvalidInput

MIN_SECONDS = 0.0001
"""Requests whose forwards take less alone are not put together: the rest of a call costs more."""


class WrongRows(Exception):
    """The version answered a batch with another number of rows than it got."""


class Part(NamedTuple):
    """A request that may run together with others of the same group."""

    group: Hashable
    rows: int
    size: int
    """The size class of one row."""
    forward: Forward
    observe: Callable[[int], None]

    def most_rows(self) -> int:
        """How many rows of its group may run together now."""
        return self.forward.routing.version.batch_pace.most_rows(self.size)

    def ran_alone(self, seconds: float) -> None:
        """Takes in the CPU time of its forward."""
        self.forward.routing.version.batch_pace.observe(self.size, self.rows, seconds)

    def batch(self, parts: "Sequence[Part]") -> "Batch":
        """These parts, which are all of this one's group, as one forward."""
        return Batch(parts, self.observe)


class Batch:
    """Several requests as one forward."""

    def __init__(self, parts: Sequence[Part], observe: Callable[[int], None]) -> None:
        self._parts = parts
        self._observe = observe
        self._interruption = Interruption()

    def interrupt(self) -> None:
        """Ends the forward soon, with an error."""
        self._interruption.interrupt()

    def run(self) -> list[Answer | Exception]:
        """The answer to each request, or the error of its own tensors. Raises whatever the model raises."""
        began = time.thread_time()
        answers = run_together(self._parts, self._interruption)
        first, rows = self._parts[0], sum(part.rows for part in self._parts)
        first.forward.routing.version.batch_pace.observe(first.size, rows, time.thread_time() - began)
        self._observe(len(self._parts))
        return answers


class Batching:
    """Says which requests may run together."""

    def __init__(self, is_on: bool, observe: Callable[[int], None]) -> None:
        """`observe` gets the number of requests of each batch."""
        self._is_on = is_on
        self._observe = observe

    def part_of(self, forward: Forward, seconds: float) -> Part | None:
        """The request as a part of a batch. None where it has to run alone. Alone it takes so many seconds."""
        fit = forward.fit
        if not self._is_on or fit.rows > MAX_ROWS or fit.group is None or seconds < MIN_SECONDS:
            return None
        return Part(fit.group, fit.rows, size_class(fit.inputs.elements // fit.rows), forward, self._observe)


def run_together(parts: Sequence[Part], interruption: Interruption) -> list[Answer | Exception]:
    """The answer to each request, or the error of its own tensors. Raises what the model raises on the batch."""
    read = [_read(part.forward) for part in parts]
    running = [(part, arrays) for part, arrays in zip(parts, read, strict=True) if not isinstance(arrays, Exception)]
    answered = iter(_answers(running, interruption) if running else ())
    return [each if isinstance(each, Exception) else next(answered) for each in read]


def _read(forward: Forward) -> Mapping[str, Array] | Exception:
    try:
        return forward.read()
    except InvalidInput as error:
        return error


def _answers(
    running: Sequence[tuple[Part, Mapping[str, Array]]], interruption: Interruption
) -> list[Answer | Exception]:
    first, arrays = running[0]
    version, names = first.forward.routing.version, first.forward.fit.names
    whole = {name: np.concatenate([each[name] for _, each in running]) for name in arrays}
    results = version.predict(whole, names, interruption)
    ends = np.cumsum([part.rows for part, _ in running]).tolist()
    if any(result.ndim == 0 or len(result) != ends[-1] for result in results):
        raise WrongRows(
            f"{version.model} version {version.version} answered {counted(ends[-1], 'row')} with another number"
        )
    return [
        _answer(part.forward, [result[end - part.rows : end] for result in results])
        for (part, _), end in zip(running, ends, strict=True)
    ]


def _answer(forward: Forward, results: Sequence[Array]) -> Answer | Exception:
    try:
        return forward.answer(results)
    except Exception as error:  # noqa: BLE001  # it is the answer of this request alone
        return error
