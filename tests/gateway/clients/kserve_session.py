"""`kserve_session.py GRPC REST` calls both servers with KServe's Python clients and prints the results as JSON.

It runs in .venv-kserve, without any code of Headgate.
"""

import asyncio
import json
import sys

import numpy as np
from grpc import RpcError
from httpx import HTTPStatusError
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig
from kserve.protocol.infer_type import RequestedOutput

GRPC, REST = sys.argv[1], f"http://{sys.argv[2]}"
ROWS = np.arange(6, dtype=np.float32).reshape(2, 3)
MIXED = {
    "i64": ("INT64", np.array([1, -1])),
    "u8": ("UINT8", np.array([0, 255], np.uint8)),
    "f64": ("FP64", np.array([0.1, 1e300])),
    "flag": ("BOOL", np.array([True, False])),
    "text": ("BYTES", np.array(["a", "caf\u00e9"], dtype=object)),
}


def rows(binary, name="x", **fields):
    tensor = InferInput(name, [2, 3], "FP32")
    tensor.set_data_from_numpy(ROWS, binary_data=binary)
    return InferRequest(model_name="fraud", infer_inputs=[tensor], request_id="r-7", **fields)


def mixed(binary):
    tensors = []
    for name, (datatype, values) in MIXED.items():
        tensor = InferInput(name, [2], datatype)
        tensor.set_data_from_numpy(values, binary_data=binary)
        tensors.append(tensor)
    return InferRequest(model_name="mixed", infer_inputs=tensors)


async def answered(call):
    response = await call
    return [response.id, [[output.name, plain(output)] for output in response.outputs]]


def plain(output):
    return [each.decode() if isinstance(each, bytes) else each for each in output.as_numpy().tolist()]


async def refused(call):
    try:
        await call
    except (HTTPStatusError, RpcError) as error:
        return str(error)
    return "answered"


async def over_rest(client):
    def infer(request):
        return client.infer(REST, request, model_name=request.model_name)

    wanted = rows(True, request_outputs=[RequestedOutput("y", {"binary_data": True})])
    return {
        "ready": [await client.is_server_live(REST), await client.is_server_ready(REST)],
        "models": [await client.is_model_ready(REST, model) for model in ("fraud", "nobody")],
        "json": await answered(infer(rows(False))),
        "binary": await answered(infer(wanted)),
        "mixed": [(await answered(infer(mixed(binary))))[1] for binary in (False, True)],
        "refused": await refused(infer(rows(False, name="z"))),
    }


async def over_grpc(client):
    return {
        "ready": [await client.is_server_live(), await client.is_server_ready()],
        "models": [await client.is_model_ready(model) for model in ("fraud", "nobody")],
        "json": await answered(client.infer(rows(False))),
        "binary": await answered(client.infer(rows(True))),
        "mixed": [(await answered(client.infer(mixed(binary))))[1] for binary in (False, True)],
        "refused": await refused(client.infer(rows(False, name="z"))),
    }


async def main():
    seen = {
        "rest": await over_rest(InferenceRESTClient(RESTConfig(protocol="v2"))),
        "grpc": await over_grpc(InferenceGRPCClient(GRPC)),
    }
    print(json.dumps(seen))


asyncio.run(main())
