"""`triton_session.py ADDRESS` calls the gateway and prints the results as JSON.

It runs in .venv-tritonclient, without any code of Headgate.
"""

import asyncio
import json
import sys
import threading

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as aio
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


def refused(call):
    try:
        call()
    except InferenceServerException as error:
        return [error.status(), error.message()]
    return ["answered", ""]


def streamed():
    """Ids of the answers of one stream, the second request of which is wrong; an error in place of its id."""
    wrong = triton.InferInput("x", [1, 2], "FP32")
    wrong.set_data_from_numpy(np.zeros((1, 2), np.float32))
    answers, all_there = [], threading.Event()

    def take(result, error):
        answers.append(str(error) if error else result.get_response().id)
        if len(answers) == 3:
            all_there.set()

    client.start_stream(take)
    for number, tensors in enumerate((inputs(), [wrong], inputs())):
        client.async_stream_infer("fraud", tensors, request_id=f"s-{number}")
    all_there.wait(30)
    client.stop_stream()
    return answers


def asynchronous():
    done, found = threading.Event(), []

    def take(result, error):
        found.append(error or result.as_numpy("y").tolist())
        done.set()

    client.async_infer("fraud", inputs(), take)
    done.wait(30)
    return found


async def with_asyncio():
    async with aio.InferenceServerClient(sys.argv[1]) as other:
        result = await other.infer("fraud", inputs())
        index = await other.get_model_repository_index()

        async def requests():
            for number in range(3):
                yield {"model_name": "fraud", "inputs": inputs(), "request_id": f"a-{number}"}

        ids = [answer.get_response().id async for answer, _ in other.stream_infer(requests())]
        return [result.as_numpy("y").tolist(), [each.name for each in index.models], ids]


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
    "config": client.get_model_config("fraud", as_json=True)["config"],
    "statistics": [each.inference_count > 0 for each in client.get_inference_statistics("fraud", "1").model_stats],
    "index": [[each.name, each.version, each.state] for each in client.get_model_repository_index().models],
    "load": refused(lambda: client.load_model("fraud")),
    "unload": refused(lambda: client.unload_model("fraud")),
    "trace": refused(client.get_trace_settings),
    "log": refused(client.get_log_settings),
    "memory": refused(client.get_system_shared_memory_status),
    "classes": client.infer("fraud", inputs(), outputs=[triton.InferRequestedOutput("y", class_count=2)])
    .as_numpy("y")
    .astype(str)
    .tolist(),
    "streamed": streamed(),
    "asynchronous": asynchronous(),
    "asyncio": asyncio.run(with_asyncio()),
}
print(json.dumps(seen))
