"""The network as an ONNX graph. Equal networks give equal bytes, wherever they were trained."""

import re

import onnx
import torch
from google.protobuf.message import Message
from torch import Tensor, nn

from headgate.artifacts import layout
from services.trainer.child.failure import ExportFailure

ORIGINS = ("doc_string", "metadata_props")
"""Fields of any part of a graph in which the exporter leaves stack traces. They name directories of this machine."""
EXAMPLE_ROWS = 2
"""The exporter takes a batch of one for a constant."""
SUMMARY = "## Exception summary"
CLASS = re.compile(r"<class '(?:\w+\.)*(\w+)'>: ")


def onnx_of(network: nn.Module, features: Tensor) -> bytes:
    """The graph of a network in evaluation mode, for any number of such rows. Raises ExportFailure."""
    copies = -(-EXAMPLE_ROWS // len(features))
    example = features.repeat(copies, *[1] * (features.ndim - 1))[:EXAMPLE_ROWS]
    try:
        program = torch.onnx.export(
            network,
            (example,),
            dynamo=True,
            input_names=[layout.INPUT],
            output_names=[layout.OUTPUT],
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            external_data=False,
            verbose=False,
        )
    except Exception as error:
        raise ExportFailure(f"the network cannot be exported to ONNX: {reason_of(error)}") from error
    if program is None:
        raise ExportFailure("the network cannot be exported to ONNX: torch.onnx.export returned no program")
    model = program.model_proto
    remove_origins(model)
    onnx.checker.check_model(model)
    graph: bytes = model.SerializeToString(deterministic=True)
    return graph


def warm_up() -> None:
    """Exports a tiny network, because the exporter imports most of its modules at the first export."""
    onnx_of(nn.Linear(1, 1).eval(), torch.zeros(2, 1))


def remove_origins(part: Message) -> None:
    """Removes the origins from the model and from everything in it, such as the branches of a condition."""
    for field, value in part.ListFields():
        if field.name in ORIGINS:
            part.ClearField(field.name)
        elif field.message_type is not None:
            for each in value if field.is_repeated else (value,):
                remove_origins(each)


def reason_of(error: Exception) -> str:
    """The line that says what was wrong, without the exporter's advice to its own developers."""
    text = str(error)
    lines = [line.strip() for line in (text.partition(SUMMARY)[2] or text).splitlines()]
    return CLASS.sub(r"\1: ", next((line for line in lines if line), type(error).__name__))
