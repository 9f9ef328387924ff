"""Which repositories a model takes commits from."""

import pytest

from headgate.domain.repositories import MAX_REPOSITORIES
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from tests.domain.scenario import given

URL = "https://git.example.org/acme/fraud.git"
ADDED = facts.RepositoryAdded(repository=URL, branch="main", secret="github")


def add(**changed) -> commands.AddRepository:
    return commands.AddRepository(**{"repository": URL, "branch": "main", "secret": "github"} | changed)


def test_a_repository_is_added_once_changed_and_removed():
    past = given(facts.ModelCreated())
    past.when(add()).then(ADDED)
    past.and_given(ADDED)
    past.when(add()).then_nothing()
    moved = facts.RepositoryAdded(repository=URL, branch="release/2", secret="github")
    past.when(add(branch="release/2")).then(moved)
    past.and_given(moved)
    wanted = resources.Repository(repository=URL, branch="release/2", secret="github")
    assert list(past.state.model.repositories) == [wanted]
    past.when(commands.RemoveRepository(repository=URL)).then(facts.RepositoryRemoved(repository=URL))
    past.and_given(facts.RepositoryRemoved(repository=URL))
    assert not past.state.model.repositories
    past.when(commands.RemoveRepository(repository=URL)).then_refused("not-found", "repository")


@pytest.mark.parametrize(
    ("changed", "about"),
    [
        ({"repository": ""}, "repository"),
        ({"repository": "https://ada:pw@git.example.org/x"}, "repository"),
        ({"branch": ""}, "branch"),
        ({"branch": "a b"}, "branch"),
        ({"branch": "-x"}, "branch"),
        ({"branch": "a..b"}, "branch"),
        ({"secret": "../token"}, "secret"),
        ({"secret": ""}, "secret"),
    ],
)
def test_a_repository_needs_an_address_a_branch_and_the_name_of_a_secret(changed, about):
    given(facts.ModelCreated()).when(add(**changed)).then_refused("invalid-argument", about)


def test_a_repository_of_no_model_is_refused():
    given().when(add()).then_refused("not-found", "fraud")


def test_the_repositories_of_a_model_have_a_limit():
    many = [
        facts.RepositoryAdded(repository=f"{URL}/{number}", branch="main", secret="github")
        for number in range(MAX_REPOSITORIES)
    ]
    past = given(facts.ModelCreated(), *many)
    past.when(add()).then_refused("invalid-argument", str(MAX_REPOSITORIES))
    past.when(add(repository=f"{URL}/3", branch="next")).then(
        facts.RepositoryAdded(repository=f"{URL}/3", branch="next", secret="github")
    )
