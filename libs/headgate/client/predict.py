"""Predictions over the Open Inference Protocol: tensors in, the tensors of every output out."""

from collections.abc import Sequence
from dataclasses import dataclass

from headgate.client.tensors import Tensor, Value, read_output, tensor_of
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.inference_parameters import ARM, BAD, ROUTING_KEY


@dataclass(frozen=True, slots=True)
class Answer:
    """The version that answered, for which arm, and every output. The arm of a version that was named is "pinned"."""

    version: int
    tensors: tuple[Tensor, ...]
    arm: str = ""
    is_bad: bool = False

    @property
    def outputs(self) -> dict[str, list[Value]]:
        """For each output its values as one flat list."""
        return {tensor.name: list(tensor.values) for tensor in self.tensors}


def infer_request(
    model: str,
    tensors: Sequence[Tensor],
    version: str = "",
    outputs: Sequence[str] = (),
    id_: str = "",
    key: str = "",
) -> inference.ModelInferRequest:
    """A request with these inputs. Without names of outputs it asks for all of them."""
    request = inference.ModelInferRequest(
        model_name=model,
        model_version=version,
        id=id_,
        inputs=[
            inference.ModelInferRequest.InferInputTensor(name=each.name, datatype=each.datatype, shape=each.shape)
            for each in tensors
        ],
        outputs=[inference.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in outputs],
        raw_input_contents=[tensor.raw() for tensor in tensors],
    )
    if key:
        request.parameters[ROUTING_KEY].string_param = key
    return request


def rows_request(model: str, rows: Sequence[Sequence[float]], input_name: str) -> inference.ModelInferRequest:
    """A request with one FP32 tensor of the shape [rows, columns]. NaN is a missing value. Raises InvalidTensor."""
    missing_as_none = [[None if value != value else value for value in row] for row in rows]
    return infer_request(model, [tensor_of(input_name, "FP32", missing_as_none)])


def answer(response: inference.ModelInferResponse) -> Answer:
    """Reads the outputs, whether they are sent as raw bytes or as typed values. Raises InvalidTensor."""
    raw = response.raw_output_contents
    tensors = [read_output(each, raw[n] if n < len(raw) else None) for n, each in enumerate(response.outputs)]
    parameters = response.parameters
    arm = parameters[ARM].string_param if ARM in parameters else ""
    is_bad = BAD in parameters and parameters[BAD].bool_param
    return Answer(int(response.model_version), tuple(tensors), arm, is_bad)
