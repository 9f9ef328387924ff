"""Writes the bytes of answers. Answers to the same signature differ in their values and in little else."""

from headgate.inference import grpc_predict_v2_pb2 as inference
from services.gateway.forward import Answer
from services.gateway.length_prefix import length_prefix
from services.gateway.tensors import raw_values

ID_FIELD, RAW_FIELD = (
    inference.ModelInferResponse.DESCRIPTOR.fields_by_name[name].number for name in ("id", "raw_output_contents")
)


def encoded(answer: Answer) -> bytes:
    """The bytes of the answer's message. Values and id come after all else, which is kept for the next answer."""
    request, routing, fit = answer.forward
    heads = fit.heads
    if heads is None:
        return answer.message().SerializeToString()
    key = routing.arm, routing.entry.route.release, answer.finite, *[result.shape for result in answer.results]
    head = heads.get(key) or fit.keep(key, _head(answer))
    parts: list[bytes] = []
    for before, spec, result in zip(head, fit.outputs, answer.results, strict=True):
        parts += before, raw_values(result, spec.datatype)
    if request.id:
        request_id = request.id.encode()
        parts += length_prefix(ID_FIELD, len(request_id)), request_id
    return b"".join(parts)


def _head(answer: Answer) -> tuple[bytes, ...]:
    """What stands before the values of each output."""
    message = answer.message()
    prefixes = [length_prefix(RAW_FIELD, len(values)) for values in message.raw_output_contents]
    del message.raw_output_contents[:]
    message.id = ""
    return message.SerializeToString() + prefixes[0], *prefixes[1:]
