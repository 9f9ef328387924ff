"""The retention axis of a version, with its tags and its quarantine.

A version that serves, or may have to serve again, is never archived or purged.
"""

from typing import assert_never

from headgate.domain.label import standing
from headgate.domain.names import NAME_RULE, in_words, is_name, version_name
from headgate.domain.refusal import IN_USE, Refused, illegal, invalid, not_found, purged
from headgate.domain.release import is_active
from headgate.domain.state import IllegalFact, ModelState
from headgate.domain.versions import is_purged
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

MAX_TAG_VALUE = 1_024
MAX_TAGS = 64

_PURGED_RULE = "a purged version does not change any more"
_USE_RULE = "a version that is in use cannot be archived or purged"

RetentionCommand = (
    commands.TagVersion
    | commands.ArchiveVersion
    | commands.PurgeVersion
    | commands.QuarantineCandidate
    | commands.LiftQuarantine
)
RetentionFact = (
    facts.VersionTagged
    | facts.VersionArchived
    | facts.VersionPurged
    | facts.CandidateQuarantined
    | facts.QuarantineLifted
)


def decide(state: ModelState, command: RetentionCommand) -> RetentionFact | Refused | None:
    """The fact that a retention command leads to, a refusal, or None when the fact holds already."""
    version = state.versions.get(command.version)
    if version is None:
        return not_found(version_name(state.name, command.version), "version")
    if is_purged(version) and not isinstance(command, commands.PurgeVersion):
        return purged(version.name, _PURGED_RULE)
    match command:
        case commands.TagVersion():
            return _tag(version, command)
        case commands.ArchiveVersion():
            return _archive(state, version, command)
        case commands.PurgeVersion():
            return _purge(state, version, command)
        case commands.QuarantineCandidate():
            return (
                None
                if version.quarantined
                else facts.CandidateQuarantined(version=version.version, reason=command.reason)
            )
        case commands.LiftQuarantine():
            return _lift(version, command)
        case _:
            assert_never(command)


def evolve(state: ModelState, fact: RetentionFact, record: facts.LifecycleRecord) -> resources.Version:  # noqa: C901 - a closed match reads as a table
    """Folds a retention fact into its version and returns it. Raises IllegalFact when the state forbids it."""
    version = state.versions.get(fact.version)
    if version is None:
        raise IllegalFact(f"{type(fact).__name__} for version {fact.version}")
    version.update_time_ms = record.occurred_at_ms
    match fact:
        case facts.VersionTagged():
            if fact.value:
                version.tags[fact.key] = fact.value
            else:
                version.tags.pop(fact.key, None)
        case facts.VersionArchived():
            version.retention = resources.RETENTION_STATE_ARCHIVED
        case facts.VersionPurged():
            if version.retention != resources.RETENTION_STATE_ARCHIVED:
                raise IllegalFact(f"purge of version {fact.version} that is not archived")
            version.retention = resources.RETENTION_STATE_PURGED
        case facts.CandidateQuarantined():
            version.quarantined = True
        case facts.QuarantineLifted():
            version.quarantined = False
        case _:
            assert_never(fact)
    return version


def _tag(version: resources.Version, command: commands.TagVersion) -> facts.VersionTagged | Refused | None:
    if not is_name(command.key):
        return invalid("key", command.key, NAME_RULE)
    if len(command.value) > MAX_TAG_VALUE:
        return invalid("value", "too long", f"a tag's value has at most {MAX_TAG_VALUE} characters")
    if version.tags.get(command.key, "") == command.value:
        return None
    if command.key not in version.tags and len(version.tags) >= MAX_TAGS:
        return invalid("key", command.key, f"a version has at most {MAX_TAGS} tags")
    return facts.VersionTagged(version=command.version, key=command.key, value=command.value)


def _lift(version: resources.Version, command: commands.LiftQuarantine) -> facts.QuarantineLifted | Refused:
    if not version.quarantined:
        return illegal(f"{in_words(version.name)} is not quarantined", "only a quarantine that is there can be lifted")
    return facts.QuarantineLifted(version=version.version, reason=command.reason)


def _archive(
    state: ModelState, version: resources.Version, command: commands.ArchiveVersion
) -> facts.VersionArchived | Refused | None:
    if version.retention != resources.RETENTION_STATE_KEPT:
        return None
    used = use_of(state, version.version)
    if used:
        return Refused(IN_USE, _USE_RULE, f"{in_words(version.name)} is {used}")
    return facts.VersionArchived(version=version.version, reason=command.reason)


def _purge(
    state: ModelState, version: resources.Version, command: commands.PurgeVersion
) -> facts.VersionPurged | Refused | None:
    if is_purged(version):
        return None
    if version.retention != resources.RETENTION_STATE_ARCHIVED:
        return illegal(standing(version), "a version must be archived before it is purged")
    used = use_of(state, version.version)
    if used:
        return Refused(IN_USE, _USE_RULE, f"{in_words(version.name)} is {used}")
    return facts.VersionPurged(version=version.version, reason=command.reason)


def use_of(state: ModelState, version: int) -> str:
    """What uses the version now: live, candidate, alias target or rollback target; empty when nothing does."""
    for environment, live in state.model.live.items():
        if live == version:
            return f"live in {environment}"
    for alias, target in state.model.aliases.items():
        if target == version:
            return f"the target of alias {alias}"
    for release in state.releases.values():
        if is_active(release) and version in (release.candidate, release.stable):
            return f"part of {in_words(release.name)}"
        if release.stable == version and release.candidate == state.model.live.get(release.environment, 0):
            return f"the rollback target of {release.environment}"
    return ""
