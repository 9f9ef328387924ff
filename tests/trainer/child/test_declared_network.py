"""A declared architecture with the weights of a safetensors file answers as torch does; what is wrong is named."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from headgate.artifacts.graphs import inspect
from services.trainer.child.failure import ExportFailure
from tests.late import Late

torch, nn, weights_file = Late("torch"), Late("torch.nn"), Late("safetensors.torch")
child = Late("services.trainer.child.declared_network")

LINEAR = 'kind = "linear"\nweight = "0.weight"\nbias = "0.bias"'
CONV = 'kind = "conv{0}d"\nweight = "0.weight"'
NORM = "\n".join(f'{name} = "0.{name}"' for name in ("weight", "bias"))
RUNNING = "\n".join(f'{name} = "0.{name}"' for name in ("running_mean", "running_var"))


def mean() -> Any:
    class Mean(nn.Module):  # type: ignore[misc]
        def forward(self, rows: Any) -> Any:
            return rows.mean(1)

    return Mean()


LAYERS: dict[str, tuple[Callable[[], Any], str, tuple[int, ...]]] = {
    "linear": (lambda: nn.Linear(4, 3), LINEAR, (4,)),
    "linear without bias, on steps": (lambda: nn.Linear(4, 3, bias=False), LINEAR.rpartition("\n")[0], (5, 4)),
    "conv1d": (
        lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2),
        CONV.format(1) + '\nbias = "0.bias"\nstride = 2\npadding = 1\ndilation = 2\ngroups = 2',
        (4, 11),
    ),
    "conv2d": (
        lambda: nn.Conv2d(2, 3, (3, 2), stride=(2, 1), padding=(1, 0), bias=False),
        CONV.format(2) + "\nstride = [2, 1]\npadding = [1, 0]",
        (2, 7, 6),
    ),
    "relu": (lambda: nn.ReLU(), 'kind = "relu"', (4,)),
    "gelu": (lambda: nn.GELU(), 'kind = "gelu"', (4,)),
    "sigmoid": (lambda: nn.Sigmoid(), 'kind = "sigmoid"', (4,)),
    "tanh": (lambda: nn.Tanh(), 'kind = "tanh"', (4,)),
    "softmax": (lambda: nn.Softmax(-1), 'kind = "softmax"', (3, 4)),
    "layer_norm": (lambda: nn.LayerNorm((3, 4), eps=1e-3), f'kind = "layer_norm"\nepsilon = 1e-3\n{NORM}', (3, 4)),
    "layer_norm without bias": (
        lambda: nn.LayerNorm(4, bias=False),
        'kind = "layer_norm"\nweight = "0.weight"',
        (3, 4),
    ),
    "batch_norm": (
        lambda: nn.BatchNorm1d(4, eps=1e-3),
        f'kind = "batch_norm"\nepsilon = 1e-3\n{NORM}\n{RUNNING}',
        (4,),
    ),
    "batch_norm of an image": (lambda: nn.BatchNorm2d(3, affine=False), f'kind = "batch_norm"\n{RUNNING}', (3, 5, 4)),
    "embedding": (lambda: nn.Embedding(10, 3), 'kind = "embedding"\nweight = "0.weight"', (5,)),
    "max_pool1d": (lambda: nn.MaxPool1d(2), 'kind = "max_pool1d"\nsize = 2', (3, 7)),
    "max_pool2d": (lambda: nn.MaxPool2d(3, 2, 1), 'kind = "max_pool2d"\nsize = 3\nstride = 2\npadding = 1', (2, 7, 6)),
    "avg_pool1d": (lambda: nn.AvgPool1d(3, 2, 1), 'kind = "avg_pool1d"\nsize = 3\nstride = 2\npadding = 1', (3, 7)),
    "avg_pool2d": (lambda: nn.AvgPool2d((2, 3)), 'kind = "avg_pool2d"\nsize = [2, 3]', (2, 7, 6)),
    "mean": (mean, 'kind = "mean"\naxis = 1', (5, 3)),
    "flatten": (lambda: nn.Flatten(), 'kind = "flatten"', (2, 3, 4)),
    "reshape": (lambda: nn.Unflatten(1, (2, 1, 3)), 'kind = "reshape"\nshape = [2, 1, -1]', (6,)),
    "dropout": (lambda: nn.Dropout(), 'kind = "dropout"', (4,)),
}
"""For each case what makes the layer of torch, its table, and the shape of a row."""


def toml(layers: Sequence[str], shape: Sequence[int | str], more: str = "", datatype: str = "float32") -> str:
    tables = "\n".join(f"[[layers]]\n{each}" for each in layers)
    return f'{more}\n[input]\nshape = {json.dumps(["batch", *shape])}\ndatatype = "{datatype}"\n{tables}\n'


def onnx_of(folder: Path, text: str, weights: bytes) -> bytes:
    (folder / "architecture.toml").write_text(text)
    (folder / "weights").write_bytes(weights)
    return child.declared_network(folder / "architecture.toml", folder / "weights")


def random_weights(network: Any) -> Any:
    with torch.no_grad():
        for tensor in (*network.parameters(), *network.buffers()):
            if tensor.is_floating_point():
                tensor.uniform_(0.1, 1.0)
    return network.eval()


def answer(data: bytes, features: Any) -> Any:
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    return session.run(["prediction"], {"features": features.numpy()})[0]


@pytest.mark.parametrize("case", LAYERS)
def test_a_layer_answers_as_that_of_torch_does(tmp_path: Path, case: str) -> None:
    torch.manual_seed(3)
    make, table, shape = LAYERS[case]
    layer = make()
    network = random_weights(nn.Sequential(layer))
    is_embedding = isinstance(layer, nn.Embedding)
    rows = torch.randint(0, 10, (2, *shape)) if is_embedding else torch.randn(2, *shape)
    weights = network.state_dict() | {"spare": torch.zeros(1)}
    unused = f"unused = {[name for name in weights if name in ('spare', '0.num_batches_tracked')]}"
    text = toml([table], shape, unused, "int64" if is_embedding else "float32")

    data = onnx_of(tmp_path, text, weights_file.save(weights))

    with torch.no_grad():
        expected = network(rows).numpy()
    np.testing.assert_allclose(answer(data, rows), expected, atol=1e-5)
    assert inspect(data).outputs[0].shape == ("batch", *expected.shape[1:])


def test_a_whole_network_with_a_length_that_varies_answers_as_torch_does(tmp_path: Path) -> None:
    torch.manual_seed(4)
    network = nn.Sequential(
        nn.Embedding(20, 8), mean(), nn.Linear(8, 4), nn.GELU(), nn.Dropout(), nn.Linear(4, 2)
    ).eval()
    tables = ['kind = "embedding"\nweight = "0.weight"', 'kind = "mean"\naxis = 1', LINEAR.replace("0.", "2.")]
    tables += ['kind = "gelu"', 'kind = "dropout"', LINEAR.replace("0.", "5.")]

    data = onnx_of(tmp_path, toml(tables, ["length"], "", "int64"), weights_file.save(network.state_dict()))

    for length in (1, 9):
        tokens = torch.randint(0, 20, (3, length))
        with torch.no_grad():
            np.testing.assert_allclose(answer(data, tokens), network(tokens).numpy(), atol=1e-5)


def test_the_architecture_of_the_documentation_is_that_of_a_network_of_torch(tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "model-authors.md").read_text()
    text = next(block for block in page.split("```toml\n") if "[[layers]]" in block).partition("```")[0]
    layers = nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 28 * 28, 10)
    network, images = nn.Sequential(*layers).eval(), torch.randn(2, 1, 28, 28)

    data = onnx_of(tmp_path, text, weights_file.save(network.state_dict()))

    with torch.no_grad():
        np.testing.assert_allclose(answer(data, images), network(images).numpy(), atol=1e-5)


@pytest.mark.parametrize("datatype", ["float16", "bfloat16"])
def test_half_floats_become_float32_of_the_same_value(tmp_path: Path, datatype: str) -> None:
    network = random_weights(nn.Sequential(nn.Linear(4, 3))).to(getattr(torch, datatype))
    rows = torch.randn(2, 4)

    data = onnx_of(tmp_path, toml([LINEAR], [4]), weights_file.save(network.state_dict()))

    with torch.no_grad():
        np.testing.assert_allclose(answer(data, rows), network.float()(rows).numpy(), atol=1e-5)


WRONG_LAYERS = {
    "a tensor that is not there": (LINEAR.replace("0.bias", "1.bias"), [4], "the file has no tensor 1.bias; it has 0."),
    "a tensor of another shape": (
        LINEAR, [5], "layer 1 (linear): the tensor 0.weight (weight) has the shape [3, 4], expected [-1, 5]",
    ),
    "a tensor that no layer uses": ('kind = "relu"', [4], "no layer uses 0.bias, 0.weight. Name each"),
    "a window that does not fit": ('kind = "max_pool1d"\nsize = 5', [2, 4], "its window of 5 does not fit"),
    "a size that varies where it must not": (LINEAR, ["width"], "needs a fixed size of dimension -1"),
    "a layer that takes whole numbers": ('kind = "embedding"\nweight = "0.weight"', [4], "give the input"),
    "a reshape that does not fit": ('kind = "reshape"\nshape = [3]', [4], "does not hold the 4 numbers of a row"),
    "an axis that is the batch": ('kind = "softmax"\naxis = 0', [4], "whose first dimension is the batch"),
    "a kind that is none": ('kind = "lstm"', [4], "layer 1: kind: expected one of linear, conv1d,"),
    "a number that is none": (CONV.format(1) + "\nstride = 0", [4], "layer 1: stride: expected a whole number from 1"),
    "a key that is none": ('kind = "relu"\nslope = 1', [4], "layer 1: slope: expected one of the keys kind"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_LAYERS)
def test_a_wrong_architecture_is_refused_with_the_layer_and_the_tensor(tmp_path: Path, case: str) -> None:
    table, shape, reason = WRONG_LAYERS[case]
    weights = weights_file.save(nn.Sequential(nn.Linear(4, 3)).state_dict())

    with pytest.raises(ExportFailure) as refused:
        onnx_of(tmp_path, toml([table], shape), weights)

    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ('unused = ["x"]', "unused: the file has no tensor x"),
        ('[output]\nshape = ["batch", 4]', "output.shape is ['batch', 4], and the layers give ['batch', 3]"),
        ('[output]\nname = "features"', "output.name: expected another name than that of the input"),
    ],
)
def test_what_is_declared_besides_the_layers_must_be_true(tmp_path: Path, more: str, reason: str) -> None:
    weights = weights_file.save(nn.Sequential(nn.Linear(4, 3)).state_dict())

    with pytest.raises(ExportFailure) as refused:
        onnx_of(tmp_path, toml([LINEAR], [4], more), weights)

    assert reason in str(refused.value)
