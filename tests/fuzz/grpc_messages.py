"""Mutated messages of gRPC predictions to the decoders and models."""

import random
from collections.abc import Callable

import numpy as np
from google.protobuf.message import DecodeError

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.runtime.errors import RpcRefused
from services.gateway.encoded_answer import encoded
from services.gateway.inference import Call
from services.gateway.known_messages import KnownMessages
from services.gateway.pending import Pending
from tests.bench.rest_material import MODEL
from tests.fuzz.mutations import changed
from tests.fuzz.target import Sent
from tests.gateway.harness import GatewayHarness, infer_request, result_of

ANSWER_SECONDS = 5.0
NOT_PROTOBUF = "no message"
SIZES = (-1, 0, 1, 2**31, 2**62, -(2**63))
DATATYPES = ("FP32", "FP64", "INT8", "UINT64", "BOOL", "BYTES", "BF16", "FP16", "", "FLOAT", "\u00fc" * 100)
PARAMETERS = ("routing_key", "timeout", "classification", "priority", "sequence_id", "shared_memory_region", "x")
Request = inference.ModelInferRequest


class GrpcMessages:
    """Half of the messages have changed bytes, and half changed fields."""

    name = "gRPC messages"

    def __init__(self, gateway: GatewayHarness) -> None:
        self._inference = gateway.inference
        self._messages = KnownMessages()
        self._seeds = seeds()

    def send(self, chance: random.Random) -> Sent:
        """Has the gateway answer one message."""
        request = Request()
        request.CopyFrom(chance.choice(self._seeds))
        try:
            if chance.random() < 0.5:
                request = Request.FromString(changed(request.SerializeToString(), chance))
            else:
                for _ in range(chance.randrange(1, 4)):
                    chance.choice(CHANGES)(request, chance)
            known = self._messages.request(request.SerializeToString())
            outcome = self._inference.infer(known, Call())
            if isinstance(outcome, Pending):
                outcome = result_of(outcome.done, ANSWER_SECONDS)
            encoded(outcome)
        except DecodeError:
            return Sent(request, [NOT_PROTOBUF], "")
        except RpcRefused as refusal:
            return Sent(request, [refusal.code.name], "")
        except Exception as error:  # noqa: BLE001  # whatever it is, its caller would get an internal error
            return Sent(request, [type(error).__name__], f"{type(error).__name__}: {error}")
        return Sent(request, ["OK"], "")


def seeds() -> list[Request]:
    """Good requests: raw and typed contents, numbers and text, one input and several."""
    raw = infer_request(np.ones((2, 30)), model=MODEL, key="k")
    typed = Request(model_name=MODEL, id="r-1")
    typed.inputs.add(name="x", datatype="FP32", shape=[1, 30]).contents.fp32_contents.extend([0.5] * 30)
    typed.outputs.add(name="y").parameters["classification"].int64_param = 1
    mixed = Request(model_name="mixed")
    for name, datatype, field, values in (
        ("i64", "INT64", "int64_contents", [1, -1]),
        ("u8", "UINT8", "uint_contents", [0, 255]),
        ("f64", "FP64", "fp64_contents", [0.1, 1e300]),
        ("flag", "BOOL", "bool_contents", [True, False]),
        ("text", "BYTES", "bytes_contents", [b"a", b""]),
    ):
        getattr(mixed.inputs.add(name=name, datatype=datatype, shape=[2]).contents, field).extend(values)
    return [raw, typed, mixed]


def _shape(request: Request, chance: random.Random) -> None:
    tensor = _tensor(request, chance)
    if tensor.shape and chance.random() < 0.7:
        tensor.shape[chance.randrange(len(tensor.shape))] = chance.choice(SIZES)
    else:
        tensor.shape.extend([chance.choice(SIZES)] * chance.choice((1, 2, 1_000)))


def _datatype(request: Request, chance: random.Random) -> None:
    _tensor(request, chance).datatype = chance.choice(DATATYPES)


def _raw(request: Request, chance: random.Random) -> None:
    content = chance.randbytes(chance.choice((0, 1, 4, 120, 240)))
    if request.raw_input_contents and chance.random() < 0.7:
        request.raw_input_contents[chance.randrange(len(request.raw_input_contents))] = content
    else:
        request.raw_input_contents.append(content)


def _contents(request: Request, chance: random.Random) -> None:
    contents = _tensor(request, chance).contents
    contents.int_contents.extend([chance.choice((-(2**31), 0, 300, 2**31 - 1))] * chance.choice((1, 2, 30)))


def _parameter(request: Request, chance: random.Random) -> None:
    owner = chance.choice((request, _tensor(request, chance), *request.outputs))
    parameter = owner.parameters[chance.choice(PARAMETERS)]
    match chance.randrange(5):
        case 0:
            parameter.int64_param = chance.choice(SIZES)
        case 1:
            parameter.string_param = chance.choice(("", "k", "\0", "\u00fc" * 300))
        case 2:
            parameter.bool_param = True
        case 3:
            parameter.double_param = chance.choice((float("nan"), 1e308, -1.0))
        case _:
            pass


def _name(request: Request, chance: random.Random) -> None:
    named = chance.choice((_tensor(request, chance), *request.outputs))
    named.name = chance.choice(("", "x", "y", "z" * 1_000))


def _model(request: Request, chance: random.Random) -> None:
    request.model_name = chance.choice((MODEL, "mixed", "", "nobody", "../" * 100))
    request.model_version = chance.choice(("", "1", "0", "-1", "9" * 400, "one"))


def _tensors(request: Request, chance: random.Random) -> None:
    if chance.random() < 0.5:
        request.inputs.add().CopyFrom(_tensor(request, chance))
    else:
        request.outputs.add(name=chance.choice(("y", "nothing", "")))


def _tensor(request: Request, chance: random.Random) -> Request.InferInputTensor:
    return chance.choice(request.inputs) if request.inputs else request.inputs.add()


CHANGES: tuple[Callable[[Request, random.Random], None], ...] = (
    _shape,
    _datatype,
    _raw,
    _contents,
    _parameter,
    _name,
    _model,
    _tensors,
)
