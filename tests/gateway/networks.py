"""Small ONNX networks for the tests."""

import json

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from headgate.artifacts.extensions import DOMAIN as CONTRIB
from headgate.artifacts.layout import EXAMPLE_SIZES

WIDTH = 3
WIDE = 3_000_000
NUMBERS = {
    "BOOL": "BOOL",
    "UINT8": "UINT8",
    "UINT16": "UINT16",
    "UINT32": "UINT32",
    "UINT64": "UINT64",
    "INT8": "INT8",
    "INT16": "INT16",
    "INT32": "INT32",
    "INT64": "INT64",
    "FLOAT16": "FP16",
    "BFLOAT16": "BF16",
    "FLOAT": "FP32",
    "DOUBLE": "FP64",
}
"""The protocol's name for each datatype of numbers of ONNX."""


def affine(factor=2.0, outputs="y", width=WIDTH):
    """y = factor * x, for rows with `width` values."""
    constant = helper.make_tensor("factor", TensorProto.FLOAT, [], [factor])
    node = helper.make_node("Mul", ["x", "factor"], [outputs])
    return _model([node], [constant], [_rows("x", width)], [_rows(outputs, width)])


def heavy(width=600, products=6):
    """y = x + 0, after a chain of matrix products that takes many milliseconds."""
    nodes = [
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["matrix", "nothing"], ["m0"]),
        *(helper.make_node("MatMul", [f"m{n}", "matrix"], [f"m{n + 1}"]) for n in range(products)),
        helper.make_node("ReduceSum", [f"m{products}"], ["total"], keepdims=0),
        helper.make_node("Mul", ["total", "zero"], ["still_nothing"]),
        helper.make_node("Add", ["x", "still_nothing"], ["y"]),
    ]
    matrix = numpy_helper.from_array(np.eye(width, dtype=np.float32), "matrix")
    zero = helper.make_tensor("zero", TensorProto.FLOAT, [], [0.0])
    return _model(nodes, [matrix, zero], [_rows("x")], [_rows("y")])


def squaring():
    """y = x. The memory it needs on the way grows with the square of the rows."""
    nodes = [
        helper.make_node("Shape", ["x"], ["rows"], start=0, end=1),
        helper.make_node("Concat", ["rows", "rows", "thousand"], ["shape"], axis=0),
        helper.make_node("Expand", ["one", "shape"], ["ones"]),
        helper.make_node("ReduceMean", ["ones", "axes"], ["means"], keepdims=0),
        helper.make_node("Mul", ["x", "means"], ["y"]),
    ]
    constants = [
        helper.make_tensor("thousand", TensorProto.INT64, [1], [1_000]),
        helper.make_tensor("axes", TensorProto.INT64, [3], [0, 1, 2]),
        helper.make_tensor("one", TensorProto.FLOAT, [1], [1.0]),
    ]
    return _model(nodes, constants, [_rows("x", 1)], [_rows("y", 1)])


def counting():
    """y = the largest of the values, counted up to in a loop. So the values say how long it takes."""
    flags = [helper.make_tensor_value_info(name, TensorProto.BOOL, []) for name in ("go_in", "go")]
    counts = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", WIDTH]) for name in ("before", "after")]
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    steps = [helper.make_node("Identity", ["go_in"], ["go"]), helper.make_node("Add", ["before", "one"], ["after"])]
    body = helper.make_graph(steps, "body", [turn, flags[0], counts[0]], [flags[1], counts[1]])
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Cast", ["most"], ["turns"], to=TensorProto.INT64),
        helper.make_node("Mul", ["x", "zero"], ["start"]),
        helper.make_node("Loop", ["turns", "", "start"], ["y"], body=body),
    ]
    constants = [
        helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in (("one", 1.0), ("zero", 0.0))
    ]
    return _model(nodes, constants, [_rows("x")], [_rows("y")])


def slow_to_load():
    """y = x + a number that is computed from constants while the model loads, within a second."""
    side, products = 700, 20
    nodes = [helper.make_node("ConstantOfShape", ["sides"], ["product0"])]
    for number in range(products):
        nodes.append(helper.make_node("MatMul", [f"product{number}"] * 2, [f"product{number + 1}"]))
    nodes.append(helper.make_node("ReduceSum", [f"product{products}"], ["sum"], keepdims=0))
    nodes.append(helper.make_node("Add", ["x", "sum"], ["y"]))
    sides = helper.make_tensor("sides", TensorProto.INT64, [2], [side, side])
    return _model(nodes, [sides], [_rows("x")], [_rows("y")])


def wide():
    """y = each row's one value, WIDE times."""
    width = helper.make_tensor("width", TensorProto.INT64, [2], [1, WIDE])
    return _model([helper.make_node("Tile", ["x", "width"], ["y"])], [width], [_rows("x", 1)], [_rows("y", WIDE)])


def root():
    """y = sqrt(x), which is NaN for a negative x."""
    return _model([helper.make_node("Sqrt", ["x"], ["y"])], [], [_rows("x")], [_rows("y")])


def fragile():
    """Fails on three rows or more, although its signature allows them."""
    nodes = [
        helper.make_node("Shape", ["x"], ["rows"], start=0, end=1),
        helper.make_node("Gather", ["table", "rows"], ["factor"]),
        helper.make_node("Mul", ["x", "factor"], ["y"]),
    ]
    table = helper.make_tensor("table", TensorProto.FLOAT, [3], [1.0, 1.0, 1.0])
    return _model(nodes, [table], [_rows("x")], [_rows("y")])


def categorical():
    """y = 1 + the category, which is 0, 1 or 2. The first output takes it as a number, the second as an integer."""
    nodes = [
        helper.make_node("Cast", ["x"], ["index"], to=TensorProto.INT64),
        helper.make_node("Gather", ["table", "index"], ["y"]),
        helper.make_node("Gather", ["table", "code"], ["z"]),
    ]
    table = helper.make_tensor("table", TensorProto.FLOAT, [3], [1.0, 2.0, 3.0])
    code = helper.make_tensor_value_info("code", TensorProto.INT64, ["n"])
    z = helper.make_tensor_value_info("z", TensorProto.FLOAT, ["n"])
    return _model(nodes, [table], [_rows("x"), code], [_rows("y"), z])


def embedding(rows, width=2):
    """y = a row of the table for each code."""
    table = numpy_helper.from_array(np.ones((rows, width), np.float32), "table")
    code = helper.make_tensor_value_info("code", TensorProto.INT64, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", width])
    return _model([helper.make_node("Gather", ["table", "code"], ["y"])], [table], [code], [y])


def reshaping(columns):
    """y = the values of all rows, in rows of so many columns. A number of values that does not divide is rejected."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [-1, columns])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["m", columns])
    return _model(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])], [shape], [_rows("x")], [y], sizes={"n": columns}
    )


def product(columns=None):
    """y = a times b. The signature takes any sizes; with `columns`, a has to have so many."""
    shapes = {"a": ["n", "k"], "b": ["j", "m"], "y": ["n", "m"]}
    a, b, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    if columns is None:
        return _model([helper.make_node("MatMul", ["a", "b"], ["y"])], [], [a, b], [y])
    square = numpy_helper.from_array(np.eye(columns, dtype=np.float32), "square")
    nodes = [helper.make_node("MatMul", ["a", "square"], ["c"]), helper.make_node("MatMul", ["c", "b"], ["y"])]
    return _model(nodes, [square], [a, b], [y])


def tokenizer(texts=2):
    """y = the numbers of the words. Its tokenizer rejects more than two texts, and `texts` = 1 rejects two."""
    words = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\n"
    node = helper.make_node(
        "BertTokenizer", ["one" if texts == 1 else "text"], ["y", "kinds", "mask"], domain=CONTRIB, vocab_file=words
    )
    alone = helper.make_node("Reshape", ["text", "shape"], ["one"])
    shape = helper.make_tensor("shape", TensorProto.INT64, [1], [1])
    text = helper.make_tensor_value_info("text", TensorProto.STRING, ["n"])
    y = helper.make_tensor_value_info("y", TensorProto.INT64, ["k"])
    return _model([alone, node] if texts == 1 else [node], [shape] if texts == 1 else [], [text], [y], domain=CONTRIB)


def mixed():
    """Returns its inputs: integers, doubles, booleans and text."""
    kinds = {
        "i64": TensorProto.INT64,
        "u8": TensorProto.UINT8,
        "f64": TensorProto.DOUBLE,
        "flag": TensorProto.BOOL,
        "text": TensorProto.STRING,
    }
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in kinds]
    inputs = [helper.make_tensor_value_info(name, kind, ["n"]) for name, kind in kinds.items()]
    outputs = [helper.make_tensor_value_info(f"{name}_out", kind, ["n"]) for name, kind in kinds.items()]
    return _model(nodes, [], inputs, outputs)


def every_number():
    """Returns its inputs, one of each datatype of numbers; also the bfloat16 number as a float32."""
    kinds = {name: getattr(TensorProto, name) for name in NUMBERS}
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in kinds]
    nodes.append(helper.make_node("Cast", ["BFLOAT16"], ["wide"], to=TensorProto.FLOAT))
    inputs = [helper.make_tensor_value_info(name, kind, ["n"]) for name, kind in kinds.items()]
    outputs = [helper.make_tensor_value_info(f"{name}_out", kind, ["n"]) for name, kind in kinds.items()]
    return _model(nodes, [], inputs, [*outputs, helper.make_tensor_value_info("wide", TensorProto.FLOAT, ["n"])])


def scores(kind="FLOAT", rows="n"):
    """y = x, the scores of four classes."""
    x, y = (helper.make_tensor_value_info(name, getattr(TensorProto, kind), [rows, 4]) for name in ("x", "y"))
    return _model([helper.make_node("Identity", ["x"], ["y"])], [], [x], [y])


def words():
    """Returns its text."""
    text, out = (helper.make_tensor_value_info(name, TensorProto.STRING, ["n"]) for name in ("text", "out"))
    return _model([helper.make_node("Identity", ["text"], ["out"])], [], [text], [out])


def recurrent(rows="n"):
    """An LSTM. ONNX Runtime ends the whole process when it gets no rows."""
    width, units = 4, 2
    weights = [
        helper.make_tensor(name, TensorProto.FLOAT, [1, 4 * units, columns], [0.1] * (4 * units * columns))
        for name, columns in (("w", width), ("r", units))
    ]
    node = helper.make_node("LSTM", ["x", "w", "r"], ["y"], hidden_size=units)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["steps", rows, width])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["steps", 1, rows, units])
    return _model([node], weights, [x], [y])


def dividing(divisor):
    """y = a / divisor in whole numbers. The lowest number divided by -1 ends the process."""
    constant = helper.make_tensor("divisor", TensorProto.INT64, [1], [divisor])
    a, y = (helper.make_tensor_value_info(name, TensorProto.INT64, ["n"]) for name in ("a", "y"))
    return _model([helper.make_node("Div", ["a", "divisor"], ["y"])], [constant], [a], [y])


def half():
    inputs, outputs = ([helper.make_tensor_value_info(name, TensorProto.FLOAT16, ["n"])] for name in ("x", "y"))
    return _model([helper.make_node("Identity", ["x"], ["y"])], [], inputs, outputs)


def row(*values):
    return np.array([values or (1.0,) * WIDTH], np.float32)


def _rows(name, width=WIDTH):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", width])


def _model(nodes, constants, inputs, outputs, domain=None, sizes=None):
    graph = helper.make_graph(nodes, "network", inputs, outputs, constants)
    sets = [helper.make_opsetid("", 20), *([helper.make_opsetid(domain, 1)] if domain else [])]
    model = helper.make_model(graph, opset_imports=sets, ir_version=9)
    if sizes:
        helper.set_model_props(model, {EXAMPLE_SIZES: json.dumps(sizes)})
    onnx.checker.check_model(model)
    return model.SerializeToString()
