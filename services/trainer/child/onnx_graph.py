"""The network as an ONNX graph. Equal networks give equal bytes, wherever they were trained."""

import json
import re
import warnings
from collections.abc import Mapping, Sequence

import onnx
import torch
from torch import Tensor, nn

from headgate.artifacts import layout
from headgate.domain.words import counted
from services.trainer.child.dimensions import Dimensions, sizes_of
from services.trainer.child.failure import ExportFailure, line_of, line_of_function
from services.trainer.child.index_operators import TRANSLATIONS
from services.trainer.child.losses import Form
from services.trainer.child.origins import remove_origins
from services.trainer.child.tensors import Tensors, caller, inputs

EXAMPLE_ROWS = 2
"""The exporter takes a batch of one for a constant."""
PLAIN = Form()
SUMMARY = "## Exception summary"
FIXED = re.compile(r"static shape of (\d+) for dimension \S+\.shape\[(\d+)\]")
"""What the exporter says of a dimension that cannot vary."""
DATA_DEPENDENT = re.compile("data.?dependent", re.IGNORECASE)
ON_VALUES = (
    ". What the code does must not depend on the values of a tensor, as with if, int() or .item():"
    " use torch.where or torch.cond"
)
ON_WHOLE_TENSORS = (
    ". The exporter runs the code on tensors without values: write this line with other operations on whole tensors."
    " Packed sequences cannot be exported: run the layer on the padded rows, and take the last step of each with"
    " torch.gather"
)
UNKNOWN = re.compile(r"No ONNX function found for <OpOverload\(op='(\w+)\.(\w+)'")
"""How the exporter says that it knows no ONNX for an operator of torch."""
CLASS = re.compile(r"<class '(?:\w+\.)*(\w+)'>: ")


class Positional(nn.Module):
    """The network as the exporter takes it when it has several inputs, several outputs or an activation."""

    def __init__(self, network: nn.Module, features: Tensors, form: Form) -> None:
        super().__init__()
        self.network = network
        self._names = None if isinstance(features, Tensor) else tuple(features)
        self._call = (caller(network, features),)
        self._form = form

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        features = tensors[0] if self._names is None else dict(zip(self._names, tensors, strict=True))
        return tuple(self._form.outputs(self._call[0](features)).values())


def onnx_of(
    network: nn.Module,
    features: Tensors,
    dimensions: Dimensions,
    outputs: Sequence[str] = (),
    form: Form = PLAIN,
    checkout: str = "",
) -> bytes:
    """The graph of a network in evaluation mode, for any size of the dimensions that vary. Raises ExportFailure.

    `outputs` are the names of what it serves, when that is not the one tensor that the network answers.
    `checkout` is the repository's directory, so that a failure names a line of it.
    """
    trained = network
    examples = {name: _example(tensor) for name, tensor in inputs(features).items()}
    sizes = sizes_of(features, dimensions)
    shapes: tuple[object, ...] = tuple(_variable(dimensions[name], is_batch_alone=not sizes) for name in examples)
    if outputs or not isinstance(features, Tensor):
        network, shapes = Positional(network, features, form).eval(), (shapes,)
    try:
        with warnings.catch_warnings():
            # They are about torch's own code. Those about the repository's came when its network ran before.
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                network,
                tuple(examples.values()),
                dynamo=True,
                input_names=list(examples),
                output_names=list(outputs) or [layout.OUTPUT],
                dynamic_shapes=shapes,
                external_data=False,
                verbose=False,
                custom_translation_table=dict(TRANSLATIONS),
            )
    except Exception as error:
        fixed = _fixed_dimension(str(error), dimensions, sizes)
        reason = f"for other sizes of {fixed}" if fixed else f"to ONNX: {reason_of(error)}{_cause(error, checkout)}"
        raise ExportFailure(f"the network cannot be exported {reason}") from error
    if program is None:
        raise ExportFailure("the network cannot be exported to ONNX: torch.onnx.export returned no program")
    model = program.model_proto
    _require_any_rows(model, line_of_function(type(trained).forward, checkout))
    remove_origins(model)
    if sizes:
        model.metadata_props.add(key=layout.EXAMPLE_SIZES, value=json.dumps(sizes, sort_keys=True))
    onnx.checker.check_model(model)
    graph: bytes = model.SerializeToString(deterministic=True)
    return graph


def _variable(axes: Mapping[int, str], *, is_batch_alone: bool) -> dict[int, object]:
    """What the exporter takes for dimensions that vary.

    A `Dim` refuses sizes that depend on a size, such as those of a convolution with a stride. A name takes them.
    """
    return {axis: torch.export.Dim(name) if is_batch_alone else name for axis, name in axes.items()}


def _fixed_dimension(text: str, dimensions: Dimensions, sizes: Mapping[str, int]) -> str:
    """The dimension that should vary and for whose one size the network is made; empty when it is something else."""
    found = FIXED.search(text)
    if found is None:
        return ""
    size, axis = int(found[1]), int(found[2])
    names = {axes[axis] for axes in dimensions.values() if axis in axes and sizes.get(axes[axis]) == size}
    cause = f"something in it, such as a layer with {counted(size, 'input')}, is made for this size"
    return f"{', '.join(sorted(names))} than {size}: {cause}" if names else ""


def _cause(error: Exception, checkout: str) -> str:
    """The line of the repository that the exporter could not take, and what to write instead where that is known."""
    lines = (line_of(each, checkout) for each in (error.__cause__, error) if each is not None and checkout)
    line = next(filter(None, lines), "")
    if DATA_DEPENDENT.search(str(error)):
        return f"{line}{ON_VALUES}"
    return f"{line}{ON_WHOLE_TENSORS}" if line else ""


def _require_any_rows(model: onnx.ModelProto, line: str) -> None:
    """Raises ExportFailure when the graph takes one number of rows alone."""
    for tensor in model.graph.input:
        batch = next(iter(tensor.type.tensor_type.shape.dim), None)
        if batch is not None and batch.HasField("dim_value"):
            raise ExportFailure(
                f"the network cannot be exported for another number of rows than {batch.dim_value}{line}: its forward"
                " makes the number fixed, as a Python loop over the rows and int() or .item() of a tensor do."
                " Compute all rows at once, with torch.where in place of a condition"
            )


def _example(tensor: Tensor) -> Tensor:
    copies = -(-EXAMPLE_ROWS // len(tensor))
    return tensor.repeat(copies, *[1] * (tensor.ndim - 1))[:EXAMPLE_ROWS]


def reason_of(error: Exception) -> str:
    """The line that says what was wrong, without the exporter's advice to its own developers."""
    text = str(error)
    if unknown := UNKNOWN.search(text):
        function = f"torch.{unknown[2]}" if unknown[1] == "aten" else f"the operator {unknown[1]}.{unknown[2]}"
        return f"the exporter knows no ONNX for {function} as it is called here. Write it with other operations"
    lines = [line.strip() for line in (text.partition(SUMMARY)[2] or text).splitlines()]
    return CLASS.sub(r"\1: ", next((line for line in lines if line), type(error).__name__))
