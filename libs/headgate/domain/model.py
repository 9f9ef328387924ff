"""The rules of a model's stream. Combines the axes into one `decide` and one `evolve`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, assert_never, get_args

from headgate.domain import build, build_fold, release, repositories, retention, verdict
from headgate.domain.fact import Fact, ModelFact, ReleaseFact
from headgate.domain.label import label
from headgate.domain.names import (
    MODEL_NAME_RULE,
    NAME_RULE,
    in_words,
    is_model_name,
    is_name,
    model_stream,
    version_name,
)
from headgate.domain.refusal import ALREADY_EXISTS, USED_ONCE, Refused, invalid, not_found, purged, text_too_long
from headgate.domain.repository import bad_repository
from headgate.domain.state import AccessState, EnvironmentState, IllegalFact, ModelState
from headgate.domain.versions import is_purged
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

__all__ = ["ModelCommand", "ModelState", "decide", "evolve"]

VERSION_WORDS = ("latest",)
MAX_LABELS = 64
MAX_LABEL_VALUE = 256

ModelCommand = (
    commands.CreateModel
    | commands.DescribeModel
    | commands.LabelModel
    | commands.MoveAlias
    | commands.RemoveAlias
    | repositories.RepositoryCommand
    | build.BuildCommand
    | verdict.VerdictCommand
    | retention.RetentionCommand
    | release.ReleaseCommand
)


def decide(
    state: ModelState,
    command: ModelCommand,
    at_ms: int,
    environments: dict[str, EnvironmentState],
    actor: str,
    held: Sequence[facts.HeldRole] = (),
    access: AccessState | None = None,
) -> ModelFact | Refused | None:
    """The fact that a command leads to, a refusal, or None when the fact holds already.

    Pure: `at_ms` is the present time. `actor` is who sent the command, or empty when that is unknown, and `held` are
    the roles that the actor has proven to hold. `access` has the grants that hold now.
    """
    if not is_model_name(state.name):
        return invalid("model", state.name, MODEL_NAME_RULE)
    if not state.exists and not isinstance(command, commands.CreateModel | commands.CreateVersion):
        return not_found(model_stream(state.name), "model")
    if too_long := text_too_long(command):
        return too_long
    if isinstance(command, build.BuildCommand):
        return build.decide(state, command, at_ms)
    if isinstance(command, verdict.VerdictCommand):
        return verdict.decide(state, command, actor, environments, held)
    if isinstance(command, retention.RetentionCommand):
        return retention.decide(state, command)
    if isinstance(command, release.ReleaseCommand):
        return release.decide(state, command, at_ms, environments, access)
    return _decide_model(state, command)


def evolve(state: ModelState, fact: Fact, record: facts.LifecycleRecord) -> None:
    """Folds a fact in place. Raises IllegalFact when the state does not allow it."""
    fold = _FOLDS.get(type(fact))
    if fold is None:
        raise IllegalFact(f"{type(fact).__name__} on {model_stream(state.name)}")
    version = fold(state, fact, record)
    if version is not None:
        version.label = label(version)
    state.model.etag = str(record.sequence)


def _decide_model(
    state: ModelState,
    command: commands.CreateModel
    | commands.DescribeModel
    | commands.LabelModel
    | commands.MoveAlias
    | commands.RemoveAlias
    | repositories.RepositoryCommand,
) -> ModelFact | Refused | None:
    match command:
        case commands.CreateModel():
            if state.exists:
                return Refused(ALREADY_EXISTS, USED_ONCE, f"{in_words(state.model.name)} exists", "model")
            return _created(command)
        case commands.DescribeModel():
            # An address of an older log may stay while the description changes.
            wrong = bad_repository(command.repository) if command.repository != state.model.repository else None
            return wrong or facts.ModelDescribed(description=command.description, repository=command.repository)
        case commands.LabelModel():
            return _label(state.model, command)
        case commands.MoveAlias():
            return _move_alias(state, command)
        case commands.RemoveAlias():
            return _remove_alias(state, command)
        case commands.AddRepository() | commands.RemoveRepository():
            return repositories.decide(state.model, command)
        case _:
            assert_never(command)


def _created(command: commands.CreateModel) -> facts.ModelCreated | Refused:
    labels = {key: value for key, value in command.labels.items() if value}
    if len(labels) > MAX_LABELS:
        return invalid("labels", len(labels), f"a model has at most {MAX_LABELS} labels")
    wrong = next(
        filter(None, (_bad_label(key, value, "labels", "labels") for key, value in sorted(labels.items()))), None
    )
    return (
        wrong
        or bad_repository(command.repository)
        or facts.ModelCreated(description=command.description, repository=command.repository, labels=labels)
    )


def _label(model: resources.Model, command: commands.LabelModel) -> facts.ModelLabelled | Refused | None:
    if model.labels.get(command.key, "") == command.value:
        return _bad_label(command.key, command.value)
    if command.value and command.key not in model.labels and len(model.labels) >= MAX_LABELS:
        return invalid("key", command.key, f"a model has at most {MAX_LABELS} labels")
    return _bad_label(command.key, command.value) or facts.ModelLabelled(key=command.key, value=command.value)


def _bad_label(key: str, value: str, key_field: str = "key", value_field: str = "value") -> Refused | None:
    if not is_name(key):
        return invalid(key_field, key, NAME_RULE)
    if len(value) > MAX_LABEL_VALUE:
        return invalid(value_field, value, f"a label's value has at most {MAX_LABEL_VALUE} characters")
    return None


def _move_alias(state: ModelState, command: commands.MoveAlias) -> facts.AliasMoved | Refused | None:
    if not is_name(command.alias):
        return invalid("alias", command.alias, NAME_RULE)
    # An alias of an older log may have such a name, and can still be moved.
    if command.alias not in state.model.aliases and (command.alias.isdecimal() or command.alias in VERSION_WORDS):
        return invalid("alias", command.alias, "an alias is neither a number nor latest: it would look like a version")
    version = state.versions.get(command.version)
    if version is None:
        return not_found(version_name(state.name, command.version), "version")
    if is_purged(version):
        return purged(version.name, "an alias cannot point to a purged version", "version")
    if state.model.aliases.get(command.alias, 0) == command.version:
        return None
    return facts.AliasMoved(alias=command.alias, version=command.version)


def _remove_alias(state: ModelState, command: commands.RemoveAlias) -> facts.AliasRemoved | Refused:
    if command.alias not in state.model.aliases:
        return not_found(f"alias {command.alias}", "alias")
    return facts.AliasRemoved(alias=command.alias)


def _evolve_model(
    state: ModelState,
    fact: facts.ModelCreated | facts.ModelDescribed | facts.ModelLabelled | facts.AliasMoved | facts.AliasRemoved,
    record: facts.LifecycleRecord,
) -> None:
    model = state.model
    match fact:
        case facts.ModelCreated():
            if state.exists:
                raise IllegalFact(f"{model.name} is created twice")
            model.name = model_stream(state.name)
            model.create_time_ms = record.occurred_at_ms
            model.description, model.repository = fact.description, fact.repository
            model.labels.update(fact.labels)
        case facts.ModelDescribed():
            model.description, model.repository = fact.description, fact.repository
        case facts.ModelLabelled():
            if fact.value:
                model.labels[fact.key] = fact.value
            else:
                model.labels.pop(fact.key, None)
        case facts.AliasMoved():
            model.aliases[fact.alias] = fact.version
        case facts.AliasRemoved():
            model.aliases.pop(fact.alias, None)
        case _:
            assert_never(fact)


_FOLDS: Mapping[type, Callable[[ModelState, Any, facts.LifecycleRecord], resources.Version | None]] = {
    facts.VersionCreated: build.create,
    **dict.fromkeys(get_args(build_fold.Progress), build.evolve),
    **dict.fromkeys(get_args(verdict.VerdictFact), verdict.evolve),
    **dict.fromkeys(get_args(retention.RetentionFact), retention.evolve),
    **dict.fromkeys(get_args(ReleaseFact), release.evolve),
    **dict.fromkeys(get_args(repositories.RepositoryFact), repositories.evolve),
    **dict.fromkeys(
        (facts.ModelCreated, facts.ModelDescribed, facts.ModelLabelled, facts.AliasMoved, facts.AliasRemoved),
        _evolve_model,
    ),
}
"""The function that folds each kind of fact. It returns the version whose label may have changed.

It is a table because a replay would otherwise spend much of its time on comparing a fact with 35 types.
"""
