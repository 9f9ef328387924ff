"""`headgate version import` on a real registry and a real trainer: from a file on this machine to a trained version."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from onnx import numpy_helper
from safetensors.numpy import save

from headgate.artifacts.keys import create_keys
from headgate.artifacts.layout import MODEL_FILE
from headgate.artifacts.store import open_store
from headgate.cli.session import CommandFailed
from headgate.cli.version_import import newest_declared
from headgate.client.stubs import Stubs
from headgate.domain.build import is_signed
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources
from services.evaluator.score import Artifacts, score
from services.registry import app as registry
from services.registry.settings import Settings as RegistrySettings
from services.trainer import app as trainer
from services.trainer.settings import Settings as TrainerSettings
from tests.artifacts.graph_material import WEIGHTS, beside, multiplication, tree, with_zipmap
from tests.cli.running import Headgate, run_headgate
from tests.downloads.servers import Files, serving
from tests.waiting import PATIENCE_SECONDS, until

# On a busy machine an attempt takes a minute for the start of its processes alone.
pytestmark = pytest.mark.timeout(300)
ATTEMPT_SECONDS = 4 * PATIENCE_SECONDS

CONFIG = """
[model]
name = "{}"
task = "binary"
[evaluate]
metrics = ["auc", "accuracy"]
[gate]
auc = {{ min = 0.9 }}
"""
TREES = tree(0.7).SerializeToString()
PICKLE = b"\x80\x04\x95model"
ROWS = "amount,age,label\n0.1,3,0\n0.2,1,0\n0.8,4,1\n0.9,1,1\n"


ARCHITECTURE = """
[input]
shape = ["batch", 2]
[[layers]]
kind = "linear"
weight = "weight"
bias = "bias"
[[layers]]
kind = "sigmoid"
"""


@dataclass(frozen=True)
class Site:
    directory: Path
    registry: str
    trainer: str
    models: str
    """The URL of a server from which the trainer may download."""

    def version(self, model: str, number: int = 1) -> resources.Version:
        name = f"models/{model}/versions/{number}"
        with Stubs(self.registry, "", trainer=self.trainer) as stubs:
            return stubs.registry.GetVersion(registry_service.GetVersionRequest(name=name))

    def ended(self, model: str, number: int = 1) -> resources.Version:
        """The version once its attempt has ended, and a trained one once it is signed."""
        version = partial(self.version, model, number)
        failed = [number for name, number in resources.BuildState.items() if name.endswith("_FAILED")]
        until(lambda: is_signed(version()) or version().build in failed, "the end", seconds=ATTEMPT_SECONDS)
        return version()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory = tmp_path_factory.mktemp("site")
    url = f"sqlite://{directory / 'log.db'}"
    create_keys(directory / "keys")
    files: dict[str, Any] = {"artifacts": (directory / "store").as_uri(), "keys": directory / "keys"}
    running = registry.build(RegistrySettings(log=url, port=0, **files))
    port = running.start()
    with serving(Files({"/trees.onnx": TREES, "/model.onnx": PICKLE, "/rows.csv": ROWS.encode()})) as models:
        settings = TrainerSettings(
            log=url,
            port=0,
            work=directory / "work",
            data_places=models,
            **files,
        )
        worker = trainer.build(settings)
        yield Site(directory, f"127.0.0.1:{port}", f"127.0.0.1:{worker.start()}", models)
        worker.stop(10)
        running.stop(5)


@pytest.fixture
def headgate(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Headgate:
    """Runs `headgate ARGUMENTS` in a folder with a file, its test rows and a configuration."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trees.onnx").write_bytes(tree().SerializeToString())
    (tmp_path / "rows.csv").write_text(ROWS)
    options = ("--registry", site.registry, "--trainer", site.trainer, "--actor", "ada")
    return partial(run_headgate, monkeypatch, capsys, *options)


def test_a_file_becomes_a_signed_version_that_the_evaluator_measures(site: Site, headgate: Headgate) -> None:
    Path("headgate.toml").write_text(CONFIG.format("trees"))

    code, out, err = headgate(
        "version", "import", "trees", "trees.onnx", "--test", "rows.csv", "--config", "headgate.toml", "-o", "json"
    )

    assert code == 0, err
    assert json.loads(out)["origin"] == "ORIGIN_IMPORT"
    version = site.ended("trees")
    assert version.failure == ""
    assert (version.origin, version.upload.file_name) == (facts.ORIGIN_IMPORT, "trees.onnx")
    store = open_store((site.directory / "store").as_uri())
    files = {file.name: file.sha256 for file in version.artifact.files}
    assert store.get(files[MODEL_FILE]) == tree().SerializeToString()
    provenance = json.loads(store.get(files["provenance.json"]))["predicate"]["buildDefinition"]
    assert provenance["resolvedDependencies"][0]["digest"] == {"sha256": version.upload.model_sha256}
    report = score(Artifacts(store, site.directory / "keys"), version).report
    assert {metric.name: metric.value for metric in report.metrics}["auc"] == 1

    again = headgate("version", "import", "trees", "trees.onnx", "--test", "rows.csv", "--config", "headgate.toml")
    assert "trees.onnx is version 1" in again[2]
    _, _, no_rules = headgate("version", "import", "trees", "trees.onnx", "--test", "rows.csv", "--answers", "age")
    assert "headgate version watch trees/2" in no_rules
    assert site.version("trees", 2).upload.configuration.gate.rules[0].min == 0.9


def test_the_configuration_of_an_import_is_known_before_a_trainer_has_read_the_file() -> None:
    built, queued, commit = resources.Version(version=1), resources.Version(version=2), resources.Version(version=3)
    built.configuration.task = "regression"
    queued.upload.configuration.task = "binary"

    assert newest_declared([built, queued, commit]) == (2, queued.upload.configuration)
    with pytest.raises(CommandFailed, match="wait until a trainer has built one, or give --config"):
        newest_declared([commit])
    with pytest.raises(CommandFailed, match="has no version whose configuration could be taken: give --config"):
        newest_declared([])


def test_a_file_that_is_refused_is_a_failed_version_with_the_reason(site: Site, headgate: Headgate) -> None:
    Path("headgate.toml").write_text(CONFIG.format("maps"))
    Path("maps.onnx").write_bytes(with_zipmap().SerializeToString())

    code, _, err = headgate("version", "import", "maps", "maps.onnx", "--test", "rows.csv", "--config", "headgate.toml")

    assert code == 0, err
    assert "options={'zipmap': False}" in site.ended("maps").failure


def test_a_folder_of_mlflow_is_read_by_its_mlmodel_and_sent_with_its_weights(site: Site, headgate: Headgate) -> None:
    Path("headgate.toml").write_text(CONFIG.format("logged"))
    Path("run").mkdir()
    Path("run/MLmodel").write_text("flavors:\n  onnx:\n    data: model.onnx\n    onnx_version: 1.17.0\n")
    Path("run/model.onnx").write_bytes(beside("f5374c32.data").SerializeToString())
    Path("run/f5374c32.data").write_bytes(WEIGHTS.tobytes())

    code, _, err = headgate("version", "import", "logged", "run", "--test", "rows.csv", "--config", "headgate.toml")

    assert code == 0, err
    upload = site.version("logged").upload
    whole = multiplication(numpy_helper.from_array(WEIGHTS, "weights")).SerializeToString(deterministic=True)
    assert (upload.file_name, upload.model_sha256) == ("model.onnx", hashlib.sha256(whole).hexdigest())


@pytest.mark.parametrize(
    ("mlmodel", "reason"),
    [
        (
            "flavors:\n  python_function:\n    loader_module: mlflow.sklearn\n  sklearn:\n    code: null\n",
            "has no flavour onnx, only python_function, sklearn. To convert, load it where it was made by"
            " mlflow.sklearn.load_model(folder), convert it by skl2onnx.to_onnx(model, rows[:1]) and import that file",
        ),
        (
            "flavors:\n  python_function:\n    python_model: python_model.pkl\n",
            "only python_function. To convert, find the model that its Python code calls",
        ),
        ("flavors:\n  onnx:\n    data: ../../secret\n", "names ../../secret, which is no file in this folder"),
        ("", "is a folder without the file MLmodel of MLflow: give the ONNX file itself"),
        ("- no model", "is no description of a model"),
        ("flavors:\n", "is no description of a model: it names no flavours"),
        (f"flavors: {'9' * 5_000}", "is no description of a model"),
    ],
)
def test_a_folder_without_an_onnx_file_is_refused(headgate: Headgate, mlmodel: str, reason: str) -> None:
    Path("run").mkdir()
    if mlmodel:
        Path("run/MLmodel").write_text(mlmodel)

    code, _, err = headgate("version", "import", "logged", "run", "--test", "rows.csv")

    assert (code, reason in err) == (2, True), err


@pytest.mark.parametrize(
    ("file", "reason"),
    [("trees.onnx", "give --config with a headgate.toml"), ("nothing.onnx", "there is no file nothing.onnx")],
)
def test_what_lacks_a_part_is_refused_before_anything_is_sent(headgate: Headgate, file: str, reason: str) -> None:
    code, _, err = headgate("version", "import", "fresh", file, "--test", "rows.csv")

    assert code != 0
    assert reason in err


def test_a_pickle_is_refused_before_it_is_sent(site: Site, headgate: Headgate) -> None:
    Path("headgate.toml").write_text(CONFIG.format("pickled"))
    np.save("model", np.zeros(3))
    Path("model.onnx").write_bytes(PICKLE)

    code, _, err = headgate(
        "version", "import", "pickled", "model.onnx", "--test", "rows.csv", "--config", "headgate.toml"
    )

    assert code == 2
    assert "it is a pickle" in err
    assert "To convert" in err


def test_the_files_of_urls_are_downloaded_by_the_trainer_and_become_a_version(site: Site, headgate: Headgate) -> None:
    Path("headgate.toml").write_text(CONFIG.format("downloaded"))
    url, sha256 = f"{site.models}/trees.onnx", hashlib.sha256(TREES).hexdigest()
    rows, rows_sha256 = f"{site.models}/rows.csv", hashlib.sha256(ROWS.encode()).hexdigest()

    code, _, err = headgate(
        "version", "import", "downloaded", url, "--sha256", sha256.upper(), "--test", rows,
        "--test-sha256", rows_sha256, "--config", "headgate.toml",
    )  # fmt: skip

    assert code == 0, err
    version = site.ended("downloaded")
    assert version.failure == ""
    assert (version.upload.uri, version.upload.file_name) == (url, "trees.onnx")
    assert version.upload.model_sha256 == sha256
    store = open_store((site.directory / "store").as_uri())
    files = {file.name: file.sha256 for file in version.artifact.files}
    assert files[MODEL_FILE] == sha256
    provenance = json.loads(store.get(files["provenance.json"]))["predicate"]["buildDefinition"]
    assert provenance["resolvedDependencies"][0] == {"name": "trees.onnx", "uri": url, "digest": {"sha256": sha256}}
    assert provenance["resolvedDependencies"][1] == {
        "name": "test rows",
        "uri": rows,
        "digest": {"sha256": rows_sha256},
    }
    assert url in headgate("version", "get", "downloaded/1")[1].replace("\n", "")


@pytest.mark.parametrize(
    ("rows", "sha256", "reason"),
    [
        ("SITE/rows.csv", "", "a URL needs --test-sha256"),
        ("rows.csv", "0" * 64, "--test-sha256 belongs to a URL"),
        ("SITE/rows.csv", "0" * 64, "Restore it, or give its digest"),
        ("https://rows.example.com/rows.csv", "0" * 64, "https://rows.example.com is not allowed"),
    ],
)
def test_test_rows_of_a_wrong_url_end_the_command(
    site: Site, headgate: Headgate, rows: str, sha256: str, reason: str
) -> None:
    Path("headgate.toml").write_text(CONFIG.format("unmade"))
    options = ("--test", rows.replace("SITE", site.models), "--test-sha256", sha256, "--config", "headgate.toml")

    code, _, err = headgate("version", "import", "unmade", "trees.onnx", *options)

    assert code == 2, err
    assert reason in " ".join(err.replace("│", " ").split()), err


def test_weights_with_their_architecture_become_a_version(site: Site, headgate: Headgate) -> None:
    Path("headgate.toml").write_text(CONFIG.format("weights"))
    Path("architecture.toml").write_text(ARCHITECTURE)
    Path("weights.safetensors").write_bytes(save({"weight": np.array([[4, 0]], "f4"), "bias": np.array([-2], "f4")}))

    code, _, err = headgate(
        "version", "import", "weights", "weights.safetensors", "--architecture", "architecture.toml",
        "--test", "rows.csv", "--config", "headgate.toml",
    )  # fmt: skip

    assert code == 0, err
    version = site.ended("weights")
    assert version.failure == ""
    store = open_store((site.directory / "store").as_uri())
    report = score(Artifacts(store, site.directory / "keys"), version).report
    assert {metric.name: metric.value for metric in report.metrics}["auc"] == 1
    files = {file.name: file.sha256 for file in version.artifact.files}
    sources = json.loads(store.get(files["provenance.json"]))["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert [source["name"] for source in sources] == ["weights.safetensors", "architecture", "test rows"]


@pytest.mark.parametrize(
    ("file", "architecture", "reason"),
    [
        ("weights.safetensors", "", "give its layers with headgate version import --architecture architecture.toml"),
        ("trees.onnx", ARCHITECTURE, "--architecture belongs to one; an ONNX file needs none"),
        (
            "weights.safetensors",
            ARCHITECTURE.replace("linear", "lstm"),
            "layer 1: kind: expected one of linear, conv1d",
        ),
    ],
)
def test_weights_and_architecture_belong_together(
    headgate: Headgate, file: str, architecture: str, reason: str
) -> None:
    Path("architecture.toml").write_text(architecture)
    Path("weights.safetensors").write_bytes(save({"weight": np.zeros((1, 2), "f4")}))
    declared = ("--architecture", "architecture.toml") if architecture else ()
    Path("headgate.toml").write_text(CONFIG.format("unmade"))

    code, _, err = headgate(
        "version", "import", "unmade", file, *declared, "--test", "rows.csv", "--config", "headgate.toml"
    )

    assert (code, reason in " ".join(err.split())) == (2, True), err


@pytest.mark.parametrize(
    ("url", "sha256", "reason"),
    [
        ("https://models.example.com/trees.onnx", "0" * 64, "https://models.example.com is not allowed"),
        ("gs://models/trees.onnx", "0" * 64, "gs://models is not allowed by the operator of the trainer"),
        ("SITE/none.onnx", "0" * 64, "does not exist (404 Not Found, NoSuchKey)"),
        ("SITE/trees.onnx", "0" * 64, "Restore it, or give its digest with --sha256"),
        ("SITE/model.onnx", hashlib.sha256(PICKLE).hexdigest(), "it is a pickle"),
        ("SITE/trees.onnx", "", "a URL needs --sha256"),
        ("SITE/trees.onnx", "abc", "a URL needs --sha256"),
        ("trees.onnx", "0" * 64, "--sha256 belongs to a URL"),
        ("ftp://models.example.com/trees.onnx", "0" * 64, "a URL with a host or bucket and a path"),
        ("file:///srv/trees.onnx", "0" * 64, "a URL with a host or bucket and a path"),
        ("https://user:s3cret@models.example.com/trees.onnx", "0" * 64, "no user name, no password"),
        ("https://models.example.com/trees.onnx?token=s3cret", "0" * 64, "no user name, no password"),
    ],
)
def test_a_url_that_is_wrong_ends_the_command_and_no_version_is_made(
    site: Site, headgate: Headgate, url: str, sha256: str, reason: str
) -> None:
    Path("headgate.toml").write_text(CONFIG.format("unmade"))
    url = url.replace("SITE", site.models)

    code, _, err = headgate(
        "version", "import", "unmade", url, "--sha256", sha256, "--test", "rows.csv", "--config", "headgate.toml"
    )

    assert code == 2, err
    assert reason in " ".join(err.replace("│", " ").split()), err
    assert "s3cret" not in err
    with pytest.raises(grpc.RpcError):
        site.version("unmade")
