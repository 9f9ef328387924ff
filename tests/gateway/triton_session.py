"""`triton_session.py ADDRESS` calls the gateway and prints the results as JSON.

It runs in .venv-tritonclient, without any code of Headgate.
"""

import json
import sys

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

client = triton.InferenceServerClient(sys.argv[1])


def inputs():
    tensor = triton.InferInput("x", [2, 3], "FP32")
    tensor.set_data_from_numpy(np.arange(6, dtype=np.float32).reshape(2, 3))
    return [tensor]


def refusal(model):
    try:
        client.infer(model, inputs())
    except InferenceServerException as error:
        return error.status()
    return "answered"


def keyed(**where):
    return client.infer("fraud", inputs(), **where).get_response().model_version


result = client.infer("fraud", inputs(), outputs=[triton.InferRequestedOutput("y")], request_id="r-7")
metadata = client.get_model_metadata("fraud")
seen = {
    "live": client.is_server_live(),
    "ready": client.is_server_ready(),
    "model_ready": [
        client.is_model_ready("fraud"),
        client.is_model_ready("fraud", "1"),
        client.is_model_ready("fraud", "9"),
    ],
    "server": client.get_server_metadata().name,
    "inputs": [[tensor.name, tensor.datatype, list(tensor.shape)] for tensor in metadata.inputs],
    "versions": list(metadata.versions),
    "y": result.as_numpy("y").tolist(),
    "id": result.get_response().id,
    "arm": result.get_response().parameters["arm"].string_param,
    "by_parameter": [keyed(parameters={"routing_key": f"k{n}"}) for n in range(30)],
    "by_header": [keyed(headers={"x-routing-key": f"k{n}"}) for n in range(30)],
    "unknown": refusal("nobody"),
}
print(json.dumps(seen))
