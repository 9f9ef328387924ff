"""A safetensors file that is foreign: each fault is refused with the tensor and the next step."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.trainer.child.weights_file import MAX_HEADER_BYTES, WrongWeights, read_weights


def file_of(header: object, body: bytes = bytes(8)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def entry(start: int, end: int, datatype: str = "F32", shape: object = None) -> dict[str, Any]:
    sizes = [(end - start) // 4] if shape is None else shape
    return {"dtype": datatype, "shape": sizes, "data_offsets": [start, end]}


def test_the_tensors_of_a_file_have_their_values(tmp_path: Path) -> None:
    body = np.array([1, 2], "<f4").tobytes() + np.array([0.5], "<f2").tobytes() + (0x3FC0).to_bytes(2, "little")
    header = {
        "__metadata__": {"format": "pt"},
        "a": entry(0, 8),
        "h": entry(8, 10, "F16", [1]),
        "b": entry(10, 12, "BF16", []),
    }
    (tmp_path / "w").write_bytes(file_of(header, body))

    found = read_weights(tmp_path / "w")

    assert [found.floats(name).tolist() for name in ("a", "h", "b")] == [[1, 2], [0.5], 1.5]


FAULTS = {
    "nothing": (b"", "it is no safetensors file, or not a whole one"),
    "other bytes": (b"\x80\x04K\x01." * 10, "it is no safetensors file, or not a whole one"),
    "a header of 2 EiB": ((2**61).to_bytes(8, "little") + b"{}", "its header ends beyond it"),
    "a header that is no JSON": (file_of(b'{"a"'), "its header is no JSON"),
    "a header of nested lists": (file_of(b"[" * 100_000), "its header is no JSON"),
    "a header that is a list": (file_of([]), "its header is no JSON object"),
    "no tensor": (file_of({}), "it has 0 tensors, and a file has 1 to"),
    "one name twice": (file_of(b'{"a": {"dtype": "F32"}, "a": {"dtype": "F32"}}'), "its header names a twice"),
    "a tensor without a place": (file_of({"a": {"dtype": "F32", "shape": [2]}}), "the tensor a lacks dtype, shape or"),
    "a datatype that is none": (file_of({"a": entry(0, 8, "Z9")}), "the tensor a is of Z9, which is not known"),
    "a negative size": (file_of({"a": entry(0, 8, shape=[-2])}), "the tensor a has a shape or a place that is none"),
    "a shape that is none": (file_of({"a": entry(0, 8, shape="2")}), "the tensor a has a shape or a place"),
    "a file that was cut": (file_of({"a": entry(0, 8)})[:-3], "the tensor a ends at byte 8, and there are 5 after"),
    "sizes beyond all numbers": (file_of({"a": entry(0, 8, shape=[2**39] * 8)}), "which are not those of F32"),
    "fewer bytes than its shape": (file_of({"a": entry(0, 8, shape=[3])}), "the tensor a has 8 bytes, which are not"),
    "two that overlap": (
        file_of({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12)), "the tensor b overlaps the one before it, at byte 4",
    ),
    "bytes of no tensor": (file_of({"a": entry(4, 8)}), "the tensor a begins after bytes of no tensor"),
    "bytes at the end": (file_of({"a": entry(0, 4)}), "at its end stand 4 bytes of no tensor"),
    "whole numbers as weights": (file_of({"a": entry(0, 8, "I64", [1])}), "the tensor a is of I64, and weights are"),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_a_broken_file_is_refused_with_the_tensor(tmp_path: Path, case: str) -> None:
    content, reason = FAULTS[case]
    (tmp_path / "w").write_bytes(content)

    with pytest.raises(WrongWeights) as refused:
        read_weights(tmp_path / "w").floats("a")

    assert reason in str(refused.value)


def test_a_header_larger_than_its_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "w").open("wb") as content:
        content.write((MAX_HEADER_BYTES + 1).to_bytes(8, "little"))
        content.truncate(MAX_HEADER_BYTES + 100)

    with pytest.raises(WrongWeights, match="the limit is"):
        read_weights(tmp_path / "w")
