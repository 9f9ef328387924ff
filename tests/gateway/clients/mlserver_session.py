"""`mlserver_session.py GRPC REST` calls both servers with MLServer's types and codecs and prints the results as JSON.

It runs in .venv-mlserver, without any code of Headgate.
"""

import json
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import grpc
import numpy as np
from mlserver.codecs import NumpyCodec, StringCodec
from mlserver.grpc.converters import ModelInferRequestConverter, ModelInferResponseConverter
from mlserver.grpc.dataplane_pb2_grpc import GRPCInferenceServiceStub
from mlserver.types import InferenceRequest, InferenceResponse

GRPC, REST = sys.argv[1], f"http://{sys.argv[2]}"
ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)
MIXED = {
    "i64": np.array([1, -1]),
    "u8": np.array([0, 255], np.uint8),
    "f64": np.array([0.1, 1e300]),
    "flag": np.array([True, False]),
}


def rows(name="x"):
    return InferenceRequest(id="r-7", inputs=[NumpyCodec.encode_input(name, ROWS)])


def mixed():
    tensors = [NumpyCodec.encode_input(name, values) for name, values in MIXED.items()]
    tensors.append(StringCodec.encode_input("text", ["a", "caf\u00e9"]))
    for tensor in tensors:
        tensor.shape = [2]  # its codec adds a dimension
    return InferenceRequest(inputs=tensors)


def answered(response):
    return [response.id, [[output.name, plain(output)] for output in response.outputs]]


def plain(output):
    return [each.decode() if isinstance(each, bytes) else each for each in output.data.root]


def over_rest(request, model="fraud"):
    sent = Request(f"{REST}/v2/models/{model}/infer", request.model_dump_json().encode())
    sent.add_header("Content-Type", "application/json")
    with urlopen(sent, timeout=30) as answer:
        return answered(InferenceResponse.model_validate_json(answer.read()))


def over_grpc(stub, request, model="fraud", raw=False):
    message = ModelInferRequestConverter.from_types(request, model_name=model, model_version=None, use_raw=raw)
    return answered(ModelInferResponseConverter.to_types(stub.ModelInfer(message, timeout=30)))


def refused(call):
    try:
        call()
    except HTTPError as error:
        with error:
            return json.load(error)["error"]
    except grpc.RpcError as error:
        return error.details()
    return "answered"


def main():
    with grpc.insecure_channel(GRPC) as channel:
        stub = GRPCInferenceServiceStub(channel)
        called = {
            "json": over_grpc(stub, rows()),
            "binary": over_grpc(stub, rows(), raw=True),
            "mixed": [over_grpc(stub, mixed(), "mixed", raw)[1] for raw in (False, True)],
            "refused": refused(lambda: over_grpc(stub, rows("z"))),
        }
    sent = {
        "json": over_rest(rows()),
        "mixed": [over_rest(mixed(), "mixed")[1]],
        "refused": refused(lambda: over_rest(rows("z"))),
    }
    print(json.dumps({"rest": sent, "grpc": called}))


main()
