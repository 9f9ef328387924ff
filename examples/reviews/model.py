"""Whether the writer of a review is content: text in, a probability out. The tokenizer is a part of the ONNX graph."""

from __future__ import annotations

import csv
import re
from collections import Counter
from typing import Any

import numpy as np
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

PADDING, UNKNOWN, END = 0, 1, 2
OTHER_SIGNS = "[^a-z ]+"
LEAST_COUNT = 2
"""A word that occurs less often in training is unknown."""
ENDS = {"train": 480, "validation": 600, "test": 800}
CONTRIB, ML = "ai.onnx.contrib", "ai.onnx.ml"

Parts = dict[str, tuple[np.ndarray, np.ndarray]]


def datasets(context: Any) -> Parts:
    with context.data["reviews"].open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    texts = np.array([row["text"] for row in rows])
    content = np.array([int(row["content"]) for row in rows], np.int64)
    starts = dict(zip(ENDS, (0, *ENDS.values()), strict=False))
    return {name: (texts[starts[name] : end], content[starts[name] : end]) for name, end in ENDS.items()}


def build(context: Any) -> ModelProto:
    texts, content = context.rows["train"]
    numbers = vocabulary(texts)
    torch.manual_seed(context.seed)
    torch.set_num_threads(1)
    reader = Reader(len(numbers) + UNKNOWN + 1, **context.parameters["reader"])
    train(reader, tokens(texts, numbers), torch.from_numpy(content).float(), context.parameters)
    return graph(reader.eval(), numbers)


def vocabulary(texts: np.ndarray) -> dict[str, int]:
    """A number for each word that occurs often enough, the end of a text first."""
    counts = Counter(word for text in texts for word in words(text))
    known = sorted(word for word, count in counts.items() if count >= LEAST_COUNT)
    return {word: number for number, word in enumerate(["END", *known], END)}


def words(text: str) -> list[str]:
    return re.sub(OTHER_SIGNS, " ", text.lower()).split()


def tokens(texts: np.ndarray, numbers: dict[str, int]) -> Tensor:
    """The same numbers as the graph gives the words, in training."""
    rows = [[*(numbers.get(word, UNKNOWN) for word in words(text)), END] for text in texts]
    longest = max(map(len, rows))
    return torch.tensor([row + [PADDING] * (longest - len(row)) for row in rows])


class Reader(nn.Module):
    """Looks at each pair of neighbouring words. Padding is 0 everywhere, so it changes no answer."""

    def __init__(self, size: int, width: int, pairs: int) -> None:
        super().__init__()
        self.words = nn.Embedding(size, width, padding_idx=PADDING)
        self.pairs = nn.Conv1d(width, pairs, 2, bias=False)
        self.content = nn.Linear(pairs, 1)

    def forward(self, ids: Tensor) -> Tensor:
        embedded = self.words(nn.functional.pad(ids, (0, 1)))
        found = self.pairs(embedded.transpose(1, 2)).relu().sum(dim=2)
        return self.content(found).sigmoid().flatten()


def train(reader: Reader, ids: Tensor, content: Tensor, parameters: dict[str, Any]) -> None:
    optimizer = torch.optim.Adam(reader.parameters(), lr=parameters["learning_rate"], weight_decay=1e-4)
    for _ in range(parameters["epochs"]):
        for rows in torch.randperm(len(ids)).split(parameters["batch_size"]):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy(reader(ids[rows]), content[rows]).backward()
            optimizer.step()


def graph(reader: Reader, numbers: dict[str, int]) -> ModelProto:
    """The tokenizer and the network as one ONNX graph, from text to a probability."""
    node = helper.make_node
    nodes = [
        node("StringLower", ["text"], ["lower"], domain=CONTRIB),
        node("StringRegexReplace", ["lower", "other_signs", "blank"], ["plain"], domain=CONTRIB),
        node("StringConcat", ["plain", "end"], ["ended"]),
        node("StringSplit", ["ended"], ["split", "count"]),
        node(
            "LabelEncoder",
            ["split"],
            ["ids"],
            domain=ML,
            keys_strings=["", *numbers],
            values_int64s=[PADDING, *numbers.values()],
            default_int64=UNKNOWN,
        ),
        node("Pad", ["ids", "one_more"], ["padded"]),
        node("Gather", ["words", "padded"], ["embedded"]),
        node("Transpose", ["embedded"], ["turned"], perm=[0, 2, 1]),
        node("Conv", ["turned", "pairs"], ["compared"]),
        node("Relu", ["compared"], ["positive"]),
        node("ReduceSum", ["positive", "time"], ["found"], keepdims=0),
        node("Gemm", ["found", "weight", "bias"], ["logit"], transB=1),
        node("Sigmoid", ["logit"], ["prediction"]),
    ]
    weights = {
        "words": reader.words.weight,
        "pairs": reader.pairs.weight,
        "weight": reader.content.weight,
        "bias": reader.content.bias,
    }
    constants = [
        helper.make_tensor("other_signs", TensorProto.STRING, [1], [OTHER_SIGNS.encode()]),
        helper.make_tensor("blank", TensorProto.STRING, [1], [b" "]),
        helper.make_tensor("end", TensorProto.STRING, [1], [b" END"]),
        numpy_helper.from_array(np.array([0, 0, 0, 1]), "one_more"),
        numpy_helper.from_array(np.array([2]), "time"),
        *(numpy_helper.from_array(tensor.detach().numpy(), name) for name, tensor in weights.items()),
    ]
    text = helper.make_tensor_value_info("text", TensorProto.STRING, ["batch"])
    prediction = helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["batch", 1])
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(ML, 4), helper.make_opsetid(CONTRIB, 1)]
    whole = helper.make_graph(nodes, "reviews", [text], [prediction], constants)
    return helper.make_model(whole, opset_imports=opsets, ir_version=9)
