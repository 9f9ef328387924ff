"""An attempt whose data lies elsewhere. Nothing here starts torch."""

import hashlib
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from headgate.downloads.faults import Refused
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.trainer.attempt.remote_data import RemoteFiles
from services.trainer.attempt.work import run_attempt
from services.trainer.programs.confinement import Confinement
from services.trainer.programs.interpreter import link_packages
from services.trainer.programs.workplace import Surroundings, workplace
from tests.downloads.servers import Files, serving
from tests.trainer.conftest import CLAIM, TRUSTED, Trial
from tests.trainer.remote import access_in, no_downloads
from tests.trainer.repositories import DATA, repository
from tests.waiting import PATIENCE_SECONDS

SHOW = """
import json, os, pathlib, sys
if input() != "train":
    sys.exit()
path = pathlib.Path(json.loads((pathlib.Path(sys.argv[1]) / "job.json").read_text())["data"]["numbers"])
print(path.name, repr(path.read_text()))
path.resolve().chmod(0o600)
print("changed", path.resolve().open("r+b").write(b"9"))
"""


def test_each_training_reads_the_file_that_was_meant_also_when_one_before_could_change_it(
    trial: Trial, tmp_path: Path
) -> None:
    files = Files({"/may/numbers.csv": DATA.encode()})
    with serving(files) as url:
        source = repository(tmp_path / "tiny", uri=f"{url}/may/numbers.csv")
        access = access_in(tmp_path, url)
        for _ in range(2):
            trial.tools.attempts.begin(CLAIM, 0)
            report = trial.run(source, data=access, child=(sys.executable, "-c", SHOW), **TRUSTED)
            assert report is not None
            # Below a shared temporary folder the code of a commit may change everything, and this one does.
            assert report.report_training_failed.fact.log_tail == f"numbers.csv {DATA!r}\nchanged 1\n"
    assert files.asked == 2 * [("/may/numbers.csv", "")]


def test_the_code_of_a_commit_is_kept_from_changing_the_cache(tmp_path: Path) -> None:
    remote = no_downloads(tmp_path)
    packages = link_packages(tmp_path / "packages")
    place = workplace(tmp_path / "training", packages, Surroundings(kept=(remote.folder, remote.cache)))
    assert isinstance(place.confinement, Confinement)
    assert {str(tmp_path / "cache"), str(tmp_path / "downloaded")} <= set(place.confinement.read_only)


def test_data_of_a_place_that_is_not_allowed_fails_the_attempt(trial: Trial, tmp_path: Path) -> None:
    source = repository(tmp_path / "tiny", uri="https://data.example.com/numbers.csv")
    report = trial.run(source, data=access_in(tmp_path, "s3://datasets"))
    assert report is not None
    failed = report.report_training_failed.fact
    assert (failed.stage, failed.reason) == (
        facts.STAGE_DATA,
        "data.numbers: https://data.example.com is not allowed by the operator of the trainer: HEADGATE_DATA_PLACES"
        " lists s3://datasets. Move the file there, or ask the operator to add its place",
    )


def test_an_attempt_that_is_cancelled_during_a_download_ends_without_a_report(trial: Trial, tmp_path: Path) -> None:
    files = Files({"/numbers.csv": DATA.encode()}, waits=threading.Event())
    with serving(files) as url, ThreadPoolExecutor(1) as pool:
        source = repository(tmp_path / "tiny", uri=f"{url}/numbers.csv")
        running = pool.submit(trial.run, source, data=access_in(tmp_path, url))
        assert files.is_waiting.wait(PATIENCE_SECONDS)
        trial.tools.attempts.cancel_except(frozenset())
        assert running.result(PATIENCE_SECONDS) is None
    assert list((tmp_path / "cache" / "parts").iterdir()) == []


def test_a_version_with_updated_data_takes_the_new_bytes(trial: Trial, tmp_path: Path) -> None:
    files = Files({"/numbers.csv": b"4,5,6\n"})
    with serving(files) as url:
        place = f"{url}/numbers.csv"
        path, commit = repository(tmp_path / "tiny", uri=place)
        update = configuration.UpdatedData(uri=place, sha256=hashlib.sha256(b"4,5,6\n").hexdigest())
        version = resources.Version(
            version=1, build=resources.BUILD_STATE_TESTING, repository=path, commit=commit, attempt=1,
            updated_data=[update],
        )  # fmt: skip
        tools = replace(trial.tools, data=access_in(tmp_path, url), child=(sys.executable, "-c", SHOW), **TRUSTED)
        report = run_attempt(tools, CLAIM, version)
    assert report is not None
    assert report.report_training_failed.fact.log_tail.startswith("numbers.csv '4,5,6\\n'\n")
    assert [file.sha256 for file in trial.sent[0].report_code_tested.fact.configuration.data] == [update.sha256]


def test_a_cache_that_cannot_be_written_fails_the_attempt_in_words(tmp_path: Path) -> None:
    remote = RemoteFiles(access_in(tmp_path, "https://data.example.com"), tmp_path / "downloaded", threading.Event())
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "cache").touch()
    file = configuration.DataFile(name="rows", uri="https://data.example.com/rows.csv", sha256="0" * 64)
    with pytest.raises(Refused, match=r"the trainer cannot keep https://data\.example\.com/rows\.csv in .*/cache: "):
        remote.fetch(file)
