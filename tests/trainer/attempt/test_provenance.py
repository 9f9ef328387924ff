"""The provenance names what a version was made from, and no path of the machine that made it."""

import json
from typing import Any

import pytest

from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from services.trainer.attempt.provenance import provenance

COMMIT = "a" * 40


def definition(repository: str, uri: str = "data/rows.csv") -> dict[str, Any]:
    parsed = configuration.ModelConfiguration(data=[configuration.DataFile(name="rows", uri=uri, sha256="b" * 64)])
    statement = json.loads(provenance({"model.onnx": b""}, repository, COMMIT, parsed, {"torch": "2"}))
    found: dict[str, Any] = statement["predicate"]["buildDefinition"]
    return found


@pytest.mark.parametrize(
    "repository", ["https://code.example/fraud.git", "ssh://code.example/fraud", "git@code.example:fraud"]
)
def test_a_repository_that_others_can_reach_is_named(repository: str) -> None:
    found = definition(repository)
    assert found["externalParameters"] == {"repository": repository, "commit": COMMIT}
    assert found["resolvedDependencies"][0] == {
        "name": "repository",
        "uri": repository,
        "digest": {"gitCommit": COMMIT},
    }


@pytest.mark.parametrize("repository", ["/srv/fraud", "file:///srv/fraud", "/mnt/models/fraud"])
def test_a_repository_of_the_machine_is_named_by_its_commit_alone(repository: str) -> None:
    assert definition(repository) == definition("/elsewhere/fraud")
    assert definition(repository)["externalParameters"] == {"commit": COMMIT}


@pytest.mark.parametrize("place", [{"uri": "https://models.example.com/trees.onnx"}, {}])
def test_an_imported_file_is_named_with_its_digest_and_with_the_url_that_it_came_from(place: dict[str, str]) -> None:
    upload = facts.Upload(model_sha256="c" * 64, rows_sha256="d" * 64, file_name="trees.onnx", **place)
    made = provenance({}, "", "", configuration.ModelConfiguration(), {}, upload=upload)
    found = json.loads(made)["predicate"]["buildDefinition"]["resolvedDependencies"]
    assert found[0] == {"name": "trees.onnx", "digest": {"sha256": "c" * 64}} | place
    assert found[1] == {"name": "test rows", "digest": {"sha256": "d" * 64}}


def test_a_data_file_is_named_by_its_path_in_the_repository_or_by_its_digest_alone() -> None:
    rows = {"name": "rows", "digest": {"sha256": "b" * 64}}
    assert definition("/here")["resolvedDependencies"][1] == rows | {"uri": "data/rows.csv"}
    assert definition("/here", "file:///mnt/rows.csv")["resolvedDependencies"][1] == rows
