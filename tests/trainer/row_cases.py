"""Rows that are taken with the datatype that they have, and rows that are refused."""

from dataclasses import dataclass

MATERIAL = """
import numpy as np
import torch
ROWS = torch.zeros(3, 2)
BIG = 2**24
ANSWERS = torch.tensor([0, 1, 1])
"""


@dataclass(frozen=True)
class Taken:
    """Expressions of features and answers; `train` may differ from the other splits. `fault` is empty when taken."""

    features: str = "ROWS"
    answers: str = "ANSWERS"
    task: str = "binary"
    fault: str = ""
    others: str = ""
    kinds: tuple[str, str] = ("float32", "int64")
    """The datatypes of the features and of the answers, where they are taken."""


KEPT = {
    "whole numbers": Taken("torch.tensor([[0, 1], [-BIG, BIG + 1], [0, 2**63 - 1]])", kinds=("int64", "int64")),
    "bytes": Taken("torch.full((3, 2), 255, dtype=torch.uint8)", kinds=("uint8", "int64")),
    "unsigned numbers": Taken("np.full((3, 2), 2**64 - 1, np.uint64)", kinds=("uint64", "int64")),
    "truth": Taken("ROWS > 0", "torch.tensor([True, False, True])", kinds=("bool", "bool")),
    "halves": Taken("ROWS.half() + 0.5", kinds=("float16", "int64")),
    "doubles": Taken("ROWS.double() + 0.1", "ANSWERS.double()", kinds=("float64", "float64")),
    "doubles that are nothing": Taken("ROWS.double() + float('nan')", kinds=("float64", "int64")),
    "an array": Taken("np.zeros((3, 2), np.int64)[::-1]", "np.array([0, 1, 1])", kinds=("int64", "int64")),
    "a list": Taken("[[1, 2], [3, 4], [5, 0.5]]", "[0, 1, 1]"),
    "a list of whole numbers": Taken("[[1, 2], [3, 4], [5, 6]]", "[0, 1, 1]", kinds=("int64", "int64")),
    "one number for each row": Taken("torch.zeros(3)"),
    "classes as floats": Taken(
        answers="torch.tensor([0.0, 2.0, 1.0])", task="multiclass", kinds=("float32", "float32")
    ),
    "a column of answers": Taken(answers="torch.tensor([[0.0], [1.0], [1.0]])", kinds=("float32", "float32")),
    "two answers": Taken(answers="torch.zeros(3, 2)", task="regression", kinds=("float32", "float32")),
    "a large answer": Taken(answers="torch.tensor([0, BIG + 1, 1])", task="regression"),
}
BENT = {
    "a fraction in a list": Taken(
        "[[0.0, 0.1], [0.0, 0.0], [0.0, 0.0]]",
        fault="features: row 0, column 1 is 0.1, which would become 0.10000000149011612 as float32. Give a tensor",
    ),
    "a large id in a list": Taken(
        "[[0.0, BIG + 1.0], [0.0, 0.0], [0.0, 0.0]]", fault="row 0, column 1 is 16777217.0, which would become"
    ),
    "brain floats": Taken("ROWS.bfloat16()", fault="train: features: no ONNX graph takes the datatype bfloat16"),
    "complex numbers": Taken("ROWS.to(torch.complex64)", fault="features: no ONNX graph takes the datatype complex64"),
    "a sparse tensor": Taken("ROWS.to_sparse()", fault="features: expected a tensor, an array or a list of numbers: a"),
    "text": Taken("[['a', 'b']] * 3", fault="features: expected a tensor, an array or a list of numbers: can't"),
    "rows of different lengths": Taken("[[1.0], [1.0, 2.0], [1.0]]", fault="features: expected a tensor, an array or"),
    "half a class": Taken(
        answers="torch.tensor([0.0, 1.5, 1.0])",
        task="multiclass",
        fault="the answer of row 1 is 1.5, which is not one of the classes",
    ),
    "no class": Taken(
        answers="torch.tensor([0.0, float('nan'), 1.0])", task="multiclass", fault="the answer of row 1 is nan, which"
    ),
    "a class beyond all integers": Taken(
        answers="torch.tensor([0.0, 1e30, 1.0])",
        task="multiclass",
        fault="the answer of row 1 is 1.0000000150474662e+30",
    ),
    "a class below 0": Taken(
        answers="torch.tensor([0, -1, 1])", task="multiclass", fault="the answer of row 1 is -1, which is not one of"
    ),
    "neither yes nor no": Taken(
        answers="torch.tensor([0, 2, 1])", fault="the answer of row 1 is 2, which is not one of the classes 0 to 1"
    ),
    "no answer": Taken(
        answers="torch.tensor([0.0, float('nan'), 1.0])",
        task="regression",
        fault="the answer of row 1 is nan, which is not a finite number",
    ),
    "too few answers": Taken(
        answers="torch.tensor([0, 1])", fault="train: expected as many answers as rows, got (3, 2) and (2,)"
    ),
    "inputs of different lengths": Taken(
        "{'tokens': ROWS, 'more': ROWS[:2]}",
        fault="expected as many answers as rows, got tokens (3, 2), more (2, 2), answers prediction (3,)",
    ),
    "an input without a name": Taken(
        "{'two words': ROWS}",
        fault="features: expected 1 to 64 tensors, each with a name of letters, digits and _, got",
    ),
    "inputs without a tensor": Taken("{}", fault="each with a name of letters, digits and _, got 0"),
    "answers to nothing in particular": Taken(
        answers="{'a': ANSWERS, 'b': ANSWERS}",
        fault="train: expected one answer that the task is about, got a, b: none is prediction",
    ),
    "no rows": Taken("ROWS[:0]", "torch.zeros(0)", fault="train: there are no rows; each split needs some"),
    "other rows to test": Taken(
        others="torch.zeros(3, 4)", fault="the rows of train have the shape (2,), those of validation (4,)"
    ),
    "other kinds of rows to test": Taken(
        others="torch.zeros(3, 2).long()",
        fault="the rows of train have the datatype float32, those of validation int64",
    ),
    "other inputs to test": Taken(
        "{'a': ROWS}",
        others="{'b': ROWS}",
        fault="the rows of train have the shape {'a': (2,)}, those of validation {'b': (2,)}",
    ),
}
