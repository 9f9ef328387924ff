"""A loaded version as the request path knows it. ONNX Runtime itself comes with the first load: `onnx_loading.py`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from headgate.artifacts import bfloat16
from headgate.v1 import facts_pb2 as facts
from services.gateway.batch_pace import BatchPace
from services.gateway.forward_queue import ForwardQueue
from services.gateway.pace import Pace
from services.gateway.statistics import Statistics
from services.gateway.tensors import Array, TensorSpec

if TYPE_CHECKING:
    import onnxruntime

FATAL_ONLY = 4


class ModelUnusable(Exception):
    """The version cannot be served: it has no artifact or no model file, or the protocol lacks a type that it needs."""


class Interruption:
    """Lets another thread end a forward that nobody waits for any more, between two operators of the model."""

    def __init__(self) -> None:
        self._is_over = False
        self._options: onnxruntime.RunOptions | None = None

    def interrupt(self) -> None:
        """Ends the forward soon, with an error. One that has not begun ends at once."""
        self._is_over = True
        if self._options is not None:
            self._options.terminate = True

    def options(self) -> "onnxruntime.RunOptions":
        """What the forward runs with. Made here, because most requests run with the one of a batch."""
        import onnxruntime

        self._options = options = onnxruntime.RunOptions()
        options.log_severity_level = FATAL_ONLY  # the end is no error, and another one is logged by the servicer
        if self._is_over:  # asked for after `_options` is set, so that no interruption is lost
            options.terminate = True
        return options


@dataclass(frozen=True, slots=True)
class LoadedVersion:
    """A version that is loaded and has answered its warm-up call."""

    model: str
    version: int
    session: "onnxruntime.InferenceSession"
    inputs: Mapping[str, TensorSpec]
    outputs: tuple[TensorSpec, ...]
    pace: Pace = field(default_factory=Pace)
    batch_pace: BatchPace = field(default_factory=BatchPace)
    queue: ForwardQueue = field(default_factory=ForwardQueue)
    uses_bfloat16: bool = False
    answers_rows_apart: bool = False
    """Whether it takes any number of rows, and its export has shown that it answers a row alone as beside others."""
    statistics: Statistics = field(default_factory=Statistics)

    def predict(
        self, arrays: Mapping[str, Array], outputs: Sequence[str], interruption: Interruption | None = None
    ) -> list[Array]:
        """The named outputs, in this order. Raises whatever the model raises, also when it was interrupted."""
        options = interruption.options() if interruption else None
        if self.uses_bfloat16:
            return bfloat16.run(self.session, outputs, arrays, options)
        results: list[Array] = self.session.run(outputs, arrays, options)
        return results


Load = Callable[[str, int, facts.Artifact], LoadedVersion]
