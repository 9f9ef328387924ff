"""How a model that MLflow has logged without the flavour onnx becomes an ONNX file, by the flavours of its MLmodel."""

import re
from collections.abc import Collection, Mapping

ONNX = "onnx"
PYTHON = "python_function"
"""The flavour that almost every folder has beside its own: how Python calls the model."""
FLAVORS = re.compile(rb"(?:^|\n)flavors:[ ]*\r?\n(?P<names>(?:[ ]+[^\n]*(?:\n|$))+)")
FLAVOR = re.compile(rb"^(?P<indent>[ ]+)(?P<name>\w+):", re.MULTILINE)
INITIAL_TYPES = "initial_types=[('features', FloatTensorType([None, columns]))]"
OF_KERAS = "model.export('model.onnx', format='onnx')"
CONVERSIONS: Mapping[str, str] = {
    "sklearn": "skl2onnx.to_onnx(model, rows[:1])",
    "lightgbm": f"onnxmltools.convert_lightgbm(model, {INITIAL_TYPES}, zipmap=False)",
    "xgboost": f"onnxmltools.convert_xgboost(model, {INITIAL_TYPES})",
    "catboost": "model.save_model('model.onnx', format='onnx')",
    "pytorch": "torch.onnx.export(model, example, 'model.onnx', dynamo=True)",
    "fastai": "torch.onnx.export(model.model, example, 'model.onnx', dynamo=True)",
    "transformers": "torch.onnx.export(model.model, example, 'model.onnx', dynamo=True)",
    "sentence_transformers": "torch.onnx.export(model[0].auto_model, example, 'model.onnx', dynamo=True)",
    "keras": OF_KERAS,
    "tensorflow": f"{OF_KERAS}, or python -m tf2onnx.convert",
    "spark": "onnxmltools.convert_sparkml",
    "paddle": "paddle2onnx",
}
REPOSITORY = 'a repository with kind = "onnx" under [code] does this for each of its commits'


def conversion_of(flavors: Collection[str]) -> str:
    """What to do with a folder of such flavours, of which none is onnx."""
    for flavor, call in CONVERSIONS.items():
        if flavor in flavors:
            loaded = f"mlflow.{flavor}.load_model(folder)"
            return f"load it where it was made by {loaded}, convert it by {call} and import that file; {REPOSITORY}"
    return (
        "find the model that its Python code calls, and convert this one where it was made, as by skl2onnx or"
        f" torch.onnx.export; Headgate runs no Python of a model. {REPOSITORY[:1].upper()}{REPOSITORY[1:]}"
    )


def flavors_in(head: bytes) -> tuple[str, ...]:
    """The flavours that the beginning of an MLmodel names; none when it is no MLmodel."""
    found = FLAVORS.search(head)
    keys = list(FLAVOR.finditer(found["names"])) if found else []
    return tuple(key["name"].decode() for key in keys if key["indent"] == keys[0]["indent"])
