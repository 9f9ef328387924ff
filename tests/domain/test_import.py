"""A version may come from an upload in place of a commit; the same upload becomes one version only."""

import pytest

from headgate.domain.upload import MAX_NAME_CHARACTERS
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from tests.domain.scenario import REPOSITORY, created, given


def upload(model: str = "a" * 64, **changes: str) -> facts.Upload:
    declared = configuration.ModelConfiguration(
        model=changes.pop("name", "fraud"),
        task="binary",
        code=configuration.CodeConfiguration(kind=changes.pop("kind", "onnx")),
    )
    words = {"model_sha256": model, "rows_sha256": "b" * 64, "file_name": "trees.onnx"} | changes
    return facts.Upload(**words, configuration=declared)


def imported(version: int = 1, made: facts.Upload | None = None) -> facts.VersionCreated:
    return facts.VersionCreated(version=version, origin=facts.ORIGIN_IMPORT, upload=made or upload())


def test_an_upload_becomes_the_next_version() -> None:
    given(created()).when(commands.CreateVersion(upload=upload())).then(imported(2))


def test_an_imported_version_keeps_what_it_is_made_from() -> None:
    version = given(imported()).version()

    assert (version.origin, version.upload, version.commit) == (facts.ORIGIN_IMPORT, upload(), "")


def test_the_same_upload_has_one_version_and_other_rows_make_another() -> None:
    past = given(imported())

    past.when(commands.CreateVersion(upload=upload())).then_refused("already-exists")
    other = upload(rows_sha256="c" * 64)
    past.when(commands.CreateVersion(upload=other)).then(imported(2, other))


def test_the_same_upload_from_elsewhere_is_the_same_version() -> None:
    downloaded = upload(uri="https://models.example.com/trees.onnx")

    past = given(imported(1, downloaded))

    assert past.version().upload.uri == downloaded.uri
    past.when(commands.CreateVersion(upload=upload())).then_refused("already-exists")


@pytest.mark.parametrize(
    "wrong",
    [
        upload("abc"),
        upload("A" * 64),
        upload(rows_sha256=""),
        upload(name="other"),
        upload(kind=""),
        upload(file_name="x" * (MAX_NAME_CHARACTERS + 1)),
        upload(uri="file:///srv/trees.onnx"),
        upload(uri="https://user:s3cret@models.example.com/trees.onnx"),
    ],
)
def test_an_upload_that_is_wrong_is_refused(wrong: facts.Upload) -> None:
    given(created()).when(commands.CreateVersion(upload=wrong)).then_refused("invalid-argument")


def test_a_version_comes_from_a_commit_or_from_an_upload() -> None:
    both = commands.CreateVersion(repository=REPOSITORY, commit="c" * 40, upload=upload())

    given(created()).when(both).then_refused("invalid-argument")
