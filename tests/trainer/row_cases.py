"""Rows that become the network's datatypes as they are, and rows that would not be the same there."""

from dataclasses import dataclass

MATERIAL = """
import numpy as np
import torch
ROWS = torch.zeros(3, 2)
BIG = 2**24
"""


@dataclass(frozen=True)
class Taken:
    """Expressions of features and answers; `train` may differ from the other splits. `fault` is empty when taken."""

    features: str = "ROWS"
    answers: str = "torch.tensor([0, 1, 1])"
    task: str = "binary"
    fault: str = ""
    others: str = ""


KEPT = {
    "whole numbers": Taken("torch.tensor([[0, 1], [-BIG, BIG], [BIG + 2, 2**62]])"),
    "bytes": Taken("torch.full((3, 2), 255, dtype=torch.uint8)"),
    "truth": Taken("ROWS > 0", "torch.tensor([True, False, True])"),
    "halves": Taken("ROWS.half() + 0.5"),
    "doubles that are floats": Taken("ROWS.double() + 0.5", "torch.tensor([0.0, 1.0, 1.0], dtype=torch.float64)"),
    "doubles that are nothing": Taken("torch.full((3, 2), float('nan'), dtype=torch.float64)"),
    "infinite doubles": Taken("torch.full((3, 2), float('-inf'), dtype=torch.float64)"),
    "an array": Taken("np.zeros((3, 2), np.int64)[::-1]", "np.array([0, 1, 1])"),
    "a list": Taken("[[1, 2], [3, 4], [5, 0.5]]", "[0, 1, 1]"),
    "classes as floats": Taken(answers="torch.tensor([0.0, 2.0, 1.0])", task="multiclass"),
    "a column of answers": Taken(answers="torch.tensor([[0.0], [1.0], [1.0]])"),
}
BENT = {
    "a large id": Taken(
        "torch.tensor([[0, 1], [0, BIG + 1], [0, 0]])",
        fault="features: row 1, column 1 is 16777217 (int64), which would become 16777216.0 as float32. Scale",
    ),
    "the largest id": Taken(
        "torch.tensor([[0, 1], [0, 2**63 - 1], [0, 0]])",
        fault="features: row 1, column 1 is 9223372036854775807 (int64), which would become 9.223372036854776e+18",
    ),
    "a large id in an image": Taken(
        "torch.full((3, 2, 2), BIG + 1, dtype=torch.int32)", fault="features: row 0, column 0, 0 is 16777217 (int32)"
    ),
    "a large id as a double": Taken("ROWS.double() + BIG + 1", fault="row 0, column 0 is 16777217.0 (float64)"),
    "a large id in a list": Taken(
        "[[0.0, BIG + 1.0], [0.0, 0.0], [0.0, 0.0]]", fault="features: row 0, column 1 is 16777217.0 (float64)"
    ),
    "a timestamp": Taken("ROWS.double() + 1700000000.25", fault="features: row 0, column 0 is 1700000000.25 (float64)"),
    "a huge double": Taken("ROWS.double() - 1e300", fault="which would become -inf as float32"),
    "a tiny double": Taken("ROWS.double() + 1e-300", fault="which would become 0.0 as float32"),
    "unsigned numbers": Taken("torch.zeros(3, 2, dtype=torch.uint64)", fault="got the datatype uint64"),
    "complex numbers": Taken("torch.zeros(3, 2, dtype=torch.complex64)", fault="got the datatype complex64"),
    "text": Taken("[['a', 'b']] * 3", fault="expected (features, answers), got can't convert"),
    "half a class": Taken(
        answers="torch.tensor([0.0, 1.5, 1.0])",
        task="multiclass",
        fault="answers: row 1 is 1.5 (float32), which would become 1 as int64",
    ),
    "no class": Taken(
        answers="torch.tensor([0.0, float('nan'), 1.0])", task="multiclass", fault="answers: row 1 is nan (float32)"
    ),
    "a class beyond all integers": Taken(
        answers="torch.tensor([0.0, 1e30, 1.0])", task="multiclass", fault="answers: row 1 is 1.0000000150474662e+30"
    ),
    "a class below 0": Taken(
        answers="torch.tensor([0, -1, 1])", task="multiclass", fault="the answer of row 1 is -1, which is not one of"
    ),
    "neither yes nor no": Taken(
        answers="torch.tensor([0, 2, 1])", fault="the answer of row 1 is 2.0, which is not one of the classes 0 to 1"
    ),
    "a large answer": Taken(
        answers="torch.tensor([0, BIG + 1, 1])", task="regression", fault="answers: row 1 is 16777217 (int64)"
    ),
    "no answer": Taken(
        answers="torch.tensor([0.0, float('nan'), 1.0])",
        task="regression",
        fault="the answer of row 1 is nan, which is not a finite number",
    ),
    "two answers": Taken(
        answers="torch.zeros(3, 2)",
        task="regression",
        fault="the answers have the shape [3, 2]: expected one answer for each row",
    ),
    "too few answers": Taken(
        answers="torch.tensor([0, 1])", fault="train: expected as many answers as rows, got (3, 2) and (2,)"
    ),
    "no rows": Taken("ROWS[:0]", "torch.zeros(0)", fault="train: expected as many answers as rows"),
    "other rows to test": Taken(
        others="torch.zeros(3, 4)", fault="the rows of train have the shape (2,), those of validation (4,)"
    ),
}
