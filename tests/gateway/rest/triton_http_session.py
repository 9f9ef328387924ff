"""`triton_http_session.py ADDRESS` calls the REST server and prints the results as JSON.

It runs in .venv-tritonclient, without any code of Headgate.
"""

import asyncio
import json
import sys

import numpy as np
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from tritonclient.utils import InferenceServerException

ADDRESS = sys.argv[1]
ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


def inputs(binary=True):
    tensor = triton.InferInput("x", [2, 3], "FP32")
    tensor.set_data_from_numpy(ARRAY, binary_data=binary)
    return [tensor]


def outputs(binary=True, **options):
    return [triton.InferRequestedOutput("y", binary_data=binary, **options)]


def refusal(call, *arguments):
    try:
        call(*arguments)
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return "answered"


def called():
    with triton.InferenceServerClient(ADDRESS) as client:
        whole = client.infer("fraud", inputs(), outputs=outputs(), request_id="r-7")
        text = np.array(["caf\u00e9".encode(), b""], dtype=np.object_)
        texts = triton.InferInput("text", [2], "BYTES")
        texts.set_data_from_numpy(text)
        key = {"x-routing-key": "k"}
        return {
            "live": client.is_server_live(),
            "ready": client.is_server_ready(),
            "model_ready": [client.is_model_ready("fraud"), client.is_model_ready("fraud", "9")],
            "server": client.get_server_metadata()["name"],
            "inputs": client.get_model_metadata("fraud")["inputs"],
            "config": client.get_model_config("fraud")["input"],
            "counted": client.get_inference_statistics("fraud")["model_stats"][0]["inference_stats"]["success"][
                "count"
            ],
            "index": client.get_model_repository_index(),
            "load": refusal(client.load_model, "fraud"),
            "y": whole.as_numpy("y").tolist(),
            "id": whole.get_response()["id"],
            "arm": whole.get_response()["parameters"]["arm"],
            "json": client.infer("fraud", inputs(False), outputs=outputs(False), headers=key).as_numpy("y").tolist(),
            "default": client.infer("fraud", inputs()).as_numpy("y").tolist(),
            "texts": [each.decode() for each in client.infer("words", [texts]).as_numpy("out")],
            "classes": client.infer("fraud", inputs(), outputs=outputs(class_count=2))
            .as_numpy("y")
            .tolist()[0][0]
            .decode(),
            "packed": [
                client.infer("fraud", inputs(), request_compression_algorithm=each, response_compression_algorithm=each)
                .as_numpy("y")
                .tolist()
                for each in ("gzip", "deflate")
            ],
            "unknown": refusal(client.infer, "nobody", inputs()),
        }


async def called_by_asyncio():
    async with triton_aio.InferenceServerClient(ADDRESS) as client:
        answers = await asyncio.gather(*(client.infer("fraud", inputs()) for _ in range(20)))
        return [answer.as_numpy("y").tolist() for answer in answers]


print(json.dumps(called() | {"aio": asyncio.run(called_by_asyncio())}))
