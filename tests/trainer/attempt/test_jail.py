"""The code of a commit in an attempt: where it runs, what it sees there, and what it cannot make the trainer do."""

from dataclasses import replace
from pathlib import Path

from headgate.jail.decision import JailSettings
from headgate.jail.port import MIB, JailLimits
from headgate.v1 import facts_pb2 as facts
from services.trainer.programs import processes
from tests.trainer.attempt.test_work import child, failure
from tests.trainer.conftest import TRUSTED, Trial
from tests.trainer.repositories import DATA, git, repository

SECRET = "what only the trainer may read"


def test_without_a_jail_a_repository_that_is_not_trusted_is_refused_before_anything_runs(
    trial: Trial, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    source = repository(tmp_path / "tiny", tests=f"touch {mark}")
    failed = failure(trial, source, child=("touch", str(mark)), **(TRUSTED | {"jail_settings": JailSettings()}))
    assert failed.stage == facts.STAGE_CHECKOUT
    assert failed.reason.startswith(
        f"the code of {source[0]} is not run: this machine has no jail, because the program"
    )
    assert "install bubblewrap" in failed.reason
    assert "HEADGATE_TRUSTED_REPOSITORIES" in failed.reason
    assert (mark.exists(), trial.sent) == (False, [])


def test_without_a_jail_a_trusted_repository_runs(trial: Trial, tmp_path: Path) -> None:
    source = repository(tmp_path / "tiny", tests="false")
    report = trial.run(source, **(TRUSTED | {"jail_settings": JailSettings(trusted=(source[0],))}))
    assert report is not None
    assert report.report_code_tested.fact.exit_code == 1


def test_a_training_reads_a_data_file_of_the_trainers_machine_and_nothing_beside_it(
    trial: Trial, tmp_path: Path
) -> None:
    data, secret = tmp_path / "data" / "numbers.csv", tmp_path / "data" / "secret"
    data.parent.mkdir()
    data.write_text(DATA)
    secret.write_text(SECRET)
    source = repository(tmp_path / "tiny", uri=data.as_uri(), tests="true")
    look = f"""
path = pathlib.Path(json.loads((directory / "job.json").read_text())["data"]["numbers"])
print(path.read_text() == {DATA!r}, os.listdir(path.parent), pathlib.Path({str(secret)!r}).exists(), flush=True)
path.write_text("x")
"""
    failed = failure(trial, source, child=child(look))
    assert failed.log_tail.splitlines()[0] == "True ['numbers.csv'] False"
    assert "Read-only file system" in failed.log_tail or "Permission denied" in failed.log_tail
    assert data.read_text() == DATA


def test_a_link_in_the_place_of_what_the_trainer_reads_is_not_followed(trial: Trial, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET + "\n")
    links = f"""
(directory / "files").symlink_to({str(tmp_path)!r})
(directory / "checkpoint.safetensors").symlink_to({str(secret)!r})
progress.symlink_to({str(secret)!r})
time.sleep(0.3)
progress.unlink()
progress.write_text('{{"checkpoint": 1}}\\n')
time.sleep(0.3)
progress.unlink()
os.mkfifo(progress)
time.sleep(0.3)
sys.exit(3)
"""
    failed = failure(trial, repository(tmp_path / "tiny"), child=child(links))
    assert failed.reason.startswith("the training process ended with exit code 3")
    assert SECRET not in str(failed)
    assert trial.tools.store.latest("checkpoints/models/tiny/versions/1") is None


def test_what_a_commit_prints_and_writes_is_bounded(trial: Trial, tmp_path: Path) -> None:
    prints = "while True: os.write(1, b'x' * (1 << 20))"
    failed = failure(trial, repository(tmp_path / "tiny"), child=child(prints))
    assert failed.reason == f"the training printed more than {processes.MAX_LOG_BYTES} bytes"
    trial.tools = replace(trial.tools, jail_settings=JailSettings(limits=JailLimits(folder_bytes=4 * MIB)))
    trial.tools.attempts._attempts.clear()
    writes = "open('large', 'wb').write(b'x' * (16 << 20)); time.sleep(600)"
    failed = failure(trial, repository(tmp_path / "again"), child=child(writes))
    assert failed.reason == f"the training wrote too much: its folder has more than {4 * MIB} bytes"


def test_a_repositorys_name_and_links_lead_the_trainer_to_no_file_of_the_machine(trial: Trial, tmp_path: Path) -> None:
    name, outside = "environment", tmp_path / "outside"
    outside.mkdir()
    source = repository(tmp_path / name, tests="false")
    (tmp_path / name / "pyvenv.cfg").symlink_to(outside / "written")
    (tmp_path / name / "lib").symlink_to(outside)
    git(tmp_path / name, "add", "-A")
    git(tmp_path / name, "commit", "-q", "-m", "Links")
    report = trial.run((source[0], git(tmp_path / name, "rev-parse", "HEAD")))
    assert report is not None
    assert report.report_code_tested.fact.exit_code == 1
    assert list(outside.iterdir()) == []


def test_a_commit_with_folders_of_any_depth_is_refused(trial: Trial, tmp_path: Path) -> None:
    repository(tmp_path / "tiny")
    deep = tmp_path / "tiny" / Path(*["d"] * 300)
    deep.mkdir(parents=True)
    (deep / "file").touch()
    git(tmp_path / "tiny", "add", "-A")
    git(tmp_path / "tiny", "commit", "-q", "-m", "Deep")
    failed = failure(trial, (str(tmp_path / "tiny"), git(tmp_path / "tiny", "rev-parse", "HEAD")))
    assert failed.reason == "the commit has folders more than 200 deep"
