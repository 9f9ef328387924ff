"""`headgate init` writes a repository for each task that trains, passes its tests and passes its gate."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from headgate.cli.init import TASKS, repository_files
from headgate.cli.main import app
from headgate.cli.session import CommandFailed
from headgate.configuration import parse
from headgate.evaluation_tables import METRICS


@pytest.fixture(scope="session")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    directory = tmp_path_factory.mktemp("skeletons")
    for task in TASKS:
        assert CliRunner().invoke(app, ["init", task, str(directory / task)]).exit_code == 0
    script = Path(__file__).with_name("skeletons.py")
    done = subprocess.run(
        [sys.executable, "-P", str(script), str(directory)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.timeout(300)
@pytest.mark.parametrize("task", TASKS)
def test_a_new_repository_trains_and_passes_its_tests_and_its_gate(outcomes: dict[str, Any], task: str) -> None:
    found = outcomes[task]
    assert found.get("passed"), found
    assert found["tests"] == 2
    assert found["undefined"] == []


@pytest.mark.parametrize("task", TASKS)
def test_a_new_repository_is_complete_and_its_configuration_is_right(task: str) -> None:
    written = repository_files(task, "mine")
    assert set(written) == {
        "headgate.toml", "model.py", "test_model.py", "README.md", ".gitignore", "data/rows.csv",
    }  # fmt: skip
    parsed = parse(written["headgate.toml"].encode())
    assert (parsed.model, parsed.task) == ("mine", task)
    own = {metric.name for metric in parsed.evaluate.own_metrics}
    assert set(parsed.evaluate.metrics) - own <= set(METRICS[task])
    (data,) = parsed.data
    assert data.sha256 == hashlib.sha256(written[data.uri].encode()).hexdigest()
    assert not any("$" in content for content in written.values())


def test_the_same_files_are_written_each_time() -> None:
    assert repository_files("binary", "mine") == repository_files("binary", "mine")


def test_every_task_has_a_skeleton() -> None:
    assert TASKS.keys() == METRICS.keys()


def test_the_model_is_called_like_its_folder_unless_it_gets_another_name(tmp_path: Path) -> None:
    for arguments, name in (((), "card-fraud-2"), (("--name", "other"), "other")):
        folder = tmp_path / name / "Card Fraud 2"
        done = CliRunner().invoke(app, ["init", "binary", str(folder), *arguments])
        assert done.exit_code == 0
        assert parse((folder / "headgate.toml").read_bytes()).model == name


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (
            ("poetry", "new"),
            "TASK: expected one of binary, multiclass, multilabel, regression, ranking, custom, got 'poetry'",
        ),
        (("binary", "new", "--name", "No!"), "--name: the name of a model is NAME, or PROJECT.NAME in a project"),
        (("binary", "used"), "exists and is not an empty folder: name a new one"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, arguments: tuple[str, ...], fault: str) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine.txt").write_text("mine")
    task, folder, *options = arguments
    done = CliRunner().invoke(app, ["init", task, str(tmp_path / folder), *options])
    assert isinstance(done.exception, CommandFailed)
    assert fault in str(done.exception)
    assert not (tmp_path / "new").exists()


def test_the_next_commands_quote_a_folder_whose_name_has_a_space(tmp_path: Path) -> None:
    folder = tmp_path / "Bad Name!"
    done = CliRunner().invoke(app, ["init", "binary", str(folder)])
    assert f"headgate check '{folder}'" in done.stderr
    assert f"git -C '{folder}' add ." in done.stderr
