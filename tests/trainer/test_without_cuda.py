"""What requirements/trainer-cpu.txt leaves out is not missed: the same commit becomes the same weights without it."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import files
from pathlib import Path

import pytest

from headgate.artifacts.manifest import unseal
from services.trainer.without_cuda import NoTorch, complete
from tests.house.test_locks import pins
from tests.house.tree import ROOT
from tests.trainer.conftest import Trained, Trial, trial_in

# On a busy machine torch alone takes a minute to start.
pytestmark = pytest.mark.timeout(300)

SITE = Path(sysconfig.get_path("purelib"))


def packages(lock: str) -> set[str]:
    return {head.partition("==")[0] for head in pins(ROOT / "requirements" / f"{lock}.txt")}


def left_out() -> set[Path]:
    """The files of every package that the lock for a CPU lacks, as they are installed here."""
    found = [files(name) or [] for name in packages("trainer") - packages("trainer-cpu")]
    return {Path(str(file)) for names in found for file in names}


def link(source: str, target: str) -> None:
    """Without a copy where the folders share a file system: an environment has gigabytes."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This environment less the packages that are left out."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    site = folder / SITE.relative_to(sys.prefix)
    site.rmdir()
    gone = left_out()
    theirs = {file.parent for file in gone}

    def skip(directory: str, names: list[str]) -> set[str]:
        place = Path(directory).relative_to(SITE)
        return {name for name in names if place / name in gone or (name == "__pycache__" and place in theirs)}

    shutil.copytree(SITE, site, copy_function=link, ignore=skip)
    for each in sorted((site / place for place in theirs), reverse=True):
        remove_empty(each, site)
    return folder


def remove_empty(folder: Path, end: Path) -> None:
    """Removes the folder and those above it up to `end`, as far as nothing is in them: an empty one can be imported."""
    while folder != end and folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
        folder = folder.parent


def digests(trial: Trial) -> tuple[str, str]:
    """Of the weights, and of the model that serves."""
    assert trial.report is not None
    artifact = trial.report.report_training_finished.fact.artifact
    found = unseal(trial.bench.store, artifact, "models/tiny/versions/1", trial.trusted)
    return found["weights.safetensors"], found["model.onnx"]


def test_a_commit_becomes_the_same_weights_without_cudas_libraries(
    environment: Path, trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    python = environment / "bin" / "python"
    torch = [python, "-c", "import torch"]
    assert subprocess.run(torch, capture_output=True).returncode != 0
    assert "libcublas.so" in " ".join(complete(environment / SITE.relative_to(sys.prefix)))
    trial = trial_in(tmp_path)
    # The trainer starts the repository's tests and the training child with the Python that it runs on itself.
    monkeypatch.setattr(sys, "executable", str(python))
    report = trial.run(trained.source, child=(str(python), "-P", "-m", "services.trainer.child"))
    assert report is not None
    assert report.WhichOneof("command") == "report_training_finished", report
    assert digests(trial) == digests(trained.trial)


def test_the_lock_for_a_cpu_is_the_trainers_less_what_only_a_gpu_needs() -> None:
    whole, cpu = (pins(ROOT / "requirements" / f"{lock}.txt") for lock in ("trainer", "trainer-cpu"))
    assert cpu.items() <= whole.items()
    assert {name.partition("-")[0] for name in packages("trainer") - packages("trainer-cpu")} == {
        "cuda",
        "nvidia",
        "triton",
    }


def test_a_folder_without_torch_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoTorch, match="torch is not installed"):
        complete(tmp_path)
