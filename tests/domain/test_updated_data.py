"""New bytes of a data file train each model that depends on it again, from the same commit."""

import pytest

from headgate.domain.refusal import ALREADY_EXISTS, INVALID
from headgate.domain.updated_data import retraining, with_updates
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from tests.domain.scenario import REPOSITORY, commit, given
from tests.model_states import with_versions

ROWS, OTHER = "s3://datasets/rows.csv", "data/other.csv"
OLD, NEW, NEWER = "a" * 64, "b" * 64, "c" * 64


def update(uri: str = ROWS, sha256: str = NEW) -> configuration.UpdatedData:
    return configuration.UpdatedData(uri=uri, sha256=sha256)


def declared(**data: str) -> configuration.ModelConfiguration:
    files = {"rows": ROWS, "other": OTHER}
    return configuration.ModelConfiguration(
        data=[configuration.DataFile(name=name, uri=files[name], sha256=sha256) for name, sha256 in data.items()]
    )


def version(number: int, *updates: configuration.UpdatedData, **data: str) -> resources.Version:
    made = resources.Version(
        version=number, repository=REPOSITORY, commit=commit(number), commit_message="why", updated_data=updates
    )
    if data:
        made.configuration.CopyFrom(declared(**data))
    return made


def test_the_newest_version_whose_configuration_is_known_is_trained_on_the_new_bytes() -> None:
    state = with_versions("fraud", version(1, rows=OLD), version(2, rows=OLD), version(3))
    assert retraining(state, update()) == commands.CreateVersion(
        repository=REPOSITORY, commit=commit(2), commit_message="why", updated_data=[update()]
    )


def test_what_an_earlier_update_changed_stays_changed() -> None:
    state = with_versions("fraud", version(1, update(), update(OTHER), rows=NEW, other=NEW))
    found = retraining(state, update(ROWS, NEWER))
    assert found is not None
    assert list(found.updated_data) == [update(OTHER), update(ROWS, NEWER)]


@pytest.mark.parametrize("data", [{"other": OLD}, {"rows": NEW}, {}])
def test_a_model_that_does_not_depend_on_these_bytes_is_left_alone(data: dict[str, str]) -> None:
    assert retraining(with_versions("fraud", version(1, **data)), update()) is None
    assert retraining(with_versions("fraud"), update()) is None


def test_the_configuration_takes_the_new_digest_and_the_commits_stays_as_it_is() -> None:
    of_the_commit = declared(rows=OLD, other=OLD)
    assert with_updates(of_the_commit, [update()]) == declared(rows=NEW, other=OLD)
    assert of_the_commit == declared(rows=OLD, other=OLD)


def test_a_commit_has_one_version_for_each_content_of_its_data() -> None:
    create = commands.CreateVersion(repository=REPOSITORY, commit=commit(1), updated_data=[update()])
    first = facts.VersionCreated(version=1, repository=REPOSITORY, commit=commit(1), origin=facts.ORIGIN_COMMIT)
    second = facts.VersionCreated(
        version=2, repository=REPOSITORY, commit=commit(1), origin=facts.ORIGIN_COMMIT, updated_data=[update()]
    )
    given(first).when(create).then(second)
    after = given(first, second).when(create)
    after.then_refused(ALREADY_EXISTS, "is version 2")
    assert list(after.state.versions[2].updated_data) == [update()]


@pytest.mark.parametrize(
    "wrong",
    [
        [update(sha256="b" * 63)],
        [update(sha256="B" * 64)],
        [update("")],
        [update("ftp://host/rows.csv")],
        [update("https://user:pw@host/rows.csv")],
        [update(), update(sha256=NEWER)],
        [update(f"data/{number}.csv") for number in range(65)],
    ],
)
def test_an_update_that_cannot_be_meant_is_refused(wrong: list[configuration.UpdatedData]) -> None:
    create = commands.CreateVersion(repository=REPOSITORY, commit=commit(1), updated_data=wrong)
    given().when(create).then_refused(INVALID)
