"""A refused request names the field that is wrong: an output is not blamed on the inputs."""

import pytest

from headgate.inference import grpc_predict_v2_pb2 as inference
from services.gateway.tensors import InvalidInput, TensorSpec, requested_outputs

SPECS = (TensorSpec("prediction", "FP32", ("n", 1)),)


@pytest.mark.parametrize("names", [["nope"], ["prediction", "prediction"]])
def test_a_wrong_output_is_blamed_on_the_outputs(names: list[str]) -> None:
    wanted = [inference.ModelInferRequest.InferRequestedOutputTensor(name=name) for name in names]
    with pytest.raises(InvalidInput) as refused:
        requested_outputs(inference.ModelInferRequest(outputs=wanted), SPECS)
    assert refused.value.field == "outputs"
