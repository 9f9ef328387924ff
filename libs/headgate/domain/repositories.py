"""Which repositories a model takes commits from, when a webhook tells of them: a branch, and the name of a secret."""

import re

from headgate.domain.names import NAME_RULE, is_name
from headgate.domain.refusal import Refused, invalid, not_found
from headgate.domain.repository import bad_repository
from headgate.domain.state import ModelState
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

MAX_REPOSITORIES = 16
BRANCH_RULE = "a branch is 1 to 200 characters without spaces, such as main or release/2"
_BRANCH = re.compile(r"(?!-)[^\s\x00-\x20\x7f~^:?*\[\\]{1,200}")

RepositoryCommand = commands.AddRepository | commands.RemoveRepository
RepositoryFact = facts.RepositoryAdded | facts.RepositoryRemoved


def decide(model: resources.Model, command: RepositoryCommand) -> RepositoryFact | Refused | None:
    """The fact that a command leads to, a refusal, or None when the fact holds already."""
    known = {each.repository: each for each in model.repositories}
    if isinstance(command, commands.RemoveRepository):
        if command.repository not in known:
            return not_found("this repository of the model", "repository")
        return facts.RepositoryRemoved(repository=command.repository)
    if wrong := _wrong(command):
        return wrong
    if command.repository not in known and len(known) >= MAX_REPOSITORIES:
        return invalid("repository", "one more", f"a model has at most {MAX_REPOSITORIES} repositories")
    wanted = _resource(command)
    return None if known.get(command.repository) == wanted else _fact(command)


def evolve(state: ModelState, fact: RepositoryFact, record: facts.LifecycleRecord) -> None:
    """Folds a fact in place."""
    kept = [each for each in state.model.repositories if each.repository != fact.repository]
    if isinstance(fact, facts.RepositoryAdded):
        kept.append(_resource(fact))
    del state.model.repositories[:]
    state.model.repositories.extend(sorted(kept, key=lambda each: each.repository))


def _wrong(command: commands.AddRepository) -> Refused | None:
    if not command.repository:
        return invalid("repository", "", "expected the address of a repository")
    if refused := bad_repository(command.repository):
        return refused
    if not _BRANCH.fullmatch(command.branch) or ".." in command.branch:
        return invalid("branch", command.branch, BRANCH_RULE)
    return None if is_name(command.secret) else invalid("secret", command.secret, NAME_RULE)


def _resource(named: commands.AddRepository | facts.RepositoryAdded) -> resources.Repository:
    return resources.Repository(repository=named.repository, branch=named.branch, secret=named.secret)


def _fact(command: commands.AddRepository) -> facts.RepositoryAdded:
    return facts.RepositoryAdded(repository=command.repository, branch=command.branch, secret=command.secret)
