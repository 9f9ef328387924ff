"""The packages that a commit locks serve its tests and its training. Those of other commits and of the trainer stay."""

import hashlib
import json
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

from headgate.artifacts.layout import EXPORTED_FILES, PROVENANCE_FILE
from headgate.v1 import facts_pb2 as facts
from services.trainer.attempts import Attempts
from services.trainer.packages.base import base_set
from services.trainer.packages.installing import GIB, Installing
from services.trainer.packages.kept import Kept
from services.trainer.packages.locked import LockedPackages
from tests.house.tree import ROOT
from tests.trainer.attempt.test_work import CHILD, FINISH, failure
from tests.trainer.conftest import TRUSTED, Trial
from tests.trainer.packages.wheels import index_in, line, of_the_base, wheel
from tests.trainer.programs.test_workplace import confined
from tests.trainer.repositories import MODEL, repository

LOOK = "import shade, numpy; print('shade', shade.VERSION, numpy.__version__)\n"
FILES = f"""
(directory / "files").mkdir()
for name in {EXPORTED_FILES}: (directory / "files" / name).write_text("x")
"""
TRAINS = ("python", "-c", CHILD + LOOK + FILES + FINISH)


@pytest.fixture
def index(tmp_path: Path) -> Iterator[Path]:
    with index_in(tmp_path / "index") as folder:
        yield folder


def locked(directory: Path, lock: str, **changes: str) -> tuple[str, str]:
    files = {"requirements.txt": lock, "check.py": LOOK}
    return repository(directory, files=files, **{"tests": "python check.py"} | changes)


def refused(trial: Trial, directory: Path, lock: str) -> str:
    """Why an attempt failed whose tests would leave a file; nothing of it may have run."""
    ran = directory / "ran"
    failed = failure(trial, locked(directory / "tiny", lock, tests=f"touch {ran}"), **TRUSTED)
    assert failed.stage == facts.STAGE_PACKAGES
    assert not ran.exists()
    return failed.reason


def test_two_models_have_different_versions_of_a_package_side_by_side(
    trial: Trial, tmp_path: Path, index: Path
) -> None:
    for number in ("1.0", "2.0"):
        trial.sent.clear()
        lock = of_the_base("torch") + wheel(index, "shade", number)
        report = trial.run(locked(tmp_path / f"tiny-{number}", lock), child=TRAINS, attempts=Attempts())
        tested, finished = trial.sent[0].report_code_tested.fact, report.report_training_finished.fact
        assert tested.log_tail == f"shade {number} {np.__version__}\n"
        assert trial.tools.store.get(finished.log.sha256).decode() == tested.log_tail
        assert f"+ shade=={number}" in trial.tools.store.get(tested.packages_log.sha256).decode()
    assert find_spec("shade") is None
    assert len([each for each in (tmp_path / "environments").iterdir() if each.is_dir()]) == 2


def test_the_provenance_names_the_lock_by_its_digest(trial: Trial, tmp_path: Path, index: Path) -> None:
    lock = of_the_base("torch") + wheel(index, "shade", "1.0")
    report = trial.run(locked(tmp_path / "tiny", lock), child=TRAINS)
    assert report is not None
    artifact = report.report_training_finished.fact.artifact
    assert artifact.files, report
    digest = next(file.sha256 for file in artifact.files if file.name == PROVENANCE_FILE)
    definition = json.loads(trial.tools.store.get(digest))["predicate"]["buildDefinition"]
    sha256 = hashlib.sha256(lock.encode()).hexdigest()
    assert definition["resolvedDependencies"][-1] == {
        "name": "requirements.txt",
        "uri": "requirements.txt",
        "digest": {"sha256": sha256},
    }
    assert definition["internalParameters"]["environment"]["lock"] == f"requirements.txt sha256:{sha256}"
    assert dict(trial.sent[1].report_training_started.fact.environment)["lock"].endswith(sha256)


def test_a_package_of_the_lock_replaces_the_trainers_own(trial: Trial, tmp_path: Path, index: Path) -> None:
    lock = of_the_base("torch") + wheel(index, "shade", "1.0") + wheel(index, "networkx", "9.0")
    check = "import networkx, importlib.metadata as m; print(networkx.VERSION, m.version('networkx'))"
    source = repository(tmp_path / "tiny", files={"requirements.txt": lock, "check.py": check}, tests="python check.py")
    trial.run(source, child=TRAINS)
    assert trial.sent[0].report_code_tested.fact.log_tail == "9.0 9.0\n"


def test_a_program_of_the_lock_runs_with_its_packages(trial: Trial, tmp_path: Path, index: Path) -> None:
    files = {
        "shade-1.0.dist-info/entry_points.txt": "[console_scripts]\nshade = shade_program:main\n",
        "shade_program.py": "import shade\ndef main(): print('program', shade.VERSION)\n",
    }
    lock = of_the_base("torch") + wheel(index, "shade", "1.0", files=files)
    trial.run(locked(tmp_path / "tiny", lock, tests="shade"), child=TRAINS)
    assert trial.sent[0].report_code_tested.fact.log_tail == "program 1.0\n"


def test_a_lock_without_torch_is_refused_before_anything_runs(trial: Trial, tmp_path: Path, index: Path) -> None:
    reason = refused(trial, tmp_path, wheel(index, "shade", "1.0"))
    assert reason.startswith("requirements.txt: it does not have torch, which model.py, line 2 imports. Add")
    assert f"torch=={base_set().versions['torch']}" in reason


def test_a_lock_that_cannot_be_installed_is_refused_before_anything_runs(
    trial: Trial, tmp_path: Path, index: Path
) -> None:
    reason = refused(trial, tmp_path, of_the_base("torch") + line("absent", "1.0", "a" * 64))
    assert reason.startswith("requirements.txt, line 2, absent==1.0: the trainer's package index has no package absent")


def test_what_the_build_printed_is_a_log_of_the_failed_version(trial: Trial, tmp_path: Path, index: Path) -> None:
    failed = failure(trial, locked(tmp_path / "tiny", of_the_base("torch") + line("absent", "1.0", "a" * 64)))
    assert failed.log.stage == facts.STAGE_PACKAGES
    assert "absent was not found" in trial.tools.store.get(failed.log.sha256).decode()


@pytest.mark.parametrize("content", ["-e .\n", "numpy\n", "-i https://mirror.example/packages\n"])
def test_a_file_that_is_no_lock_is_refused_before_anything_runs(trial: Trial, tmp_path: Path, content: str) -> None:
    assert refused(trial, tmp_path, content).startswith("requirements.txt, line 1: ")


def test_a_version_that_headgate_cannot_train_with_is_refused(trial: Trial, tmp_path: Path) -> None:
    reason = refused(trial, tmp_path, of_the_base("torch") + line("numpy", "1.26.4", "a" * 64))
    assert reason == (
        "requirements.txt, line 2: Headgate's training process needs numpy>=2, and the lock has numpy==1.26.4;"
        " lock a version that fits"
    )


def test_a_file_without_packages_changes_nothing(trial: Trial, tmp_path: Path) -> None:
    source = repository(tmp_path / "tiny", files={"requirements.txt": "# nothing more\n"})
    trial.run(source, child=TRAINS)
    assert trial.sent[0].report_code_tested.fact.passed
    assert not trial.sent[0].report_code_tested.fact.HasField("packages_log")


@pytest.mark.parametrize("has_lock", [False, True])
def test_a_package_that_the_module_imports_and_nothing_has_is_named_with_its_line(
    trial: Trial, tmp_path: Path, index: Path, has_lock: bool
) -> None:
    files = {"requirements.txt": of_the_base("torch") + wheel(index, "shade", "1.0")} if has_lock else {}
    failed = failure(trial, repository(tmp_path / "tiny", f"import absent_here\n{MODEL}", files=files))
    assert failed.stage == facts.STAGE_PACKAGES
    has_not = "neither requirements.txt nor the trainer's base set has" if has_lock else "the trainer's base set does"
    assert failed.reason.startswith(f"model.py, line 1: it imports absent_here, which {has_not}")


@confined
def test_no_code_of_a_commit_changes_the_packages_of_a_lock(trial: Trial, index: Path) -> None:
    # A shared temporary folder is left whole, so the environments lie in the tree.
    cache = ROOT / ".cache"
    cache.mkdir(exist_ok=True)
    with TemporaryDirectory(dir=cache) as kept:
        packages = LockedPackages(Kept(Path(kept), 9, GIB), Installing())
        lock = of_the_base("torch") + wheel(index, "shade", "1.0")
        check = """
import os, shade
def fault_of(act):
    try: act()
    except OSError: return "refused"
here = shade.__file__
print(fault_of(lambda: open(here, "a")), fault_of(lambda: open(here + "x", "w")), fault_of(lambda: os.remove(here)))
"""
        files = {"requirements.txt": lock, "check.py": check}
        source = repository(Path(kept) / "tiny", files=files, tests="python check.py")
        trial.run(source, child=TRAINS, packages=packages)
        assert trial.sent[0].report_code_tested.fact.log_tail == "refused refused refused\n"
