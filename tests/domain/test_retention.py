"""Tags, quarantine, archive, purge and aliases."""

import pytest

from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from tests.domain.scenario import canary, completed, created, given, one_live, passed

ARCHIVE_1 = commands.ArchiveVersion(version=1, reason="old")


def test_a_tag_is_set_changed_and_removed() -> None:
    past = given(created())
    past.when(commands.TagVersion(version=1, key="team", value="risk")).then(
        facts.VersionTagged(version=1, key="team", value="risk")
    )
    past.and_given(facts.VersionTagged(version=1, key="team", value="risk"))
    past.when(commands.TagVersion(version=1, key="team", value="risk")).then_nothing()
    past.when(commands.TagVersion(version=1, key="team")).then(facts.VersionTagged(version=1, key="team"))
    past.and_given(facts.VersionTagged(version=1, key="team"))
    assert not past.version().tags
    past.when(commands.TagVersion(version=1, key="team")).then_nothing()


def test_tags_have_limits() -> None:
    past = given(created())
    past.when(commands.TagVersion(version=1, key="Team", value="x")).then_refused("invalid-argument", "key")
    past.when(commands.TagVersion(version=1, key="k", value="x" * 1025)).then_refused("invalid-argument", "1024")
    past.and_given(*(facts.VersionTagged(version=1, key=f"k{i}", value="x") for i in range(64)))
    past.when(commands.TagVersion(version=1, key="one-more", value="x")).then_refused("invalid-argument", "64")


def test_a_version_is_archived_before_it_is_purged() -> None:
    past = given(*passed())
    past.when(commands.PurgeVersion(version=1)).then_refused("illegal-transition", "archived")
    past.when(ARCHIVE_1).then(facts.VersionArchived(version=1, reason="old"))
    past.and_given(facts.VersionArchived(version=1))
    assert past.version().label == "archived"
    past.when(ARCHIVE_1).then_nothing()
    past.when(commands.PurgeVersion(version=1)).then(facts.VersionPurged(version=1))
    past.and_given(facts.VersionPurged(version=1))
    past.when(commands.PurgeVersion(version=1)).then_nothing()
    past.when(commands.MoveAlias(alias="a", version=1)).then_refused(
        "purged", "an alias cannot point to a purged version"
    )


@pytest.mark.parametrize(
    "command",
    [
        ARCHIVE_1,
        commands.TagVersion(version=1, key="team", value="risk"),
        commands.TagVersion(version=1, key="team"),
        commands.QuarantineCandidate(version=1, reason="bad"),
        commands.LiftQuarantine(version=1, reason="good"),
        commands.CancelVersion(version=1, reason="not needed"),
    ],
)
def test_a_purged_version_changes_no_more(command: object) -> None:
    past = given(*passed(), facts.VersionArchived(version=1), facts.VersionPurged(version=1))
    past.when(command).then_refused("purged", "version 1 of fraud is purged")


def test_a_quarantine_that_is_not_there_cannot_be_lifted() -> None:
    past = given(*passed())
    past.when(commands.LiftQuarantine(version=1)).then_refused("illegal-transition", "is not quarantined")
    past.and_given(facts.CandidateQuarantined(version=1))
    past.when(commands.LiftQuarantine(version=1)).then(facts.QuarantineLifted(version=1))


@pytest.mark.parametrize("alias", ["3", "007", "latest"])
def test_a_new_alias_cannot_look_like_a_version(alias: str) -> None:
    past = given(*passed())
    move = commands.MoveAlias(alias=alias, version=1)
    past.when(move).then_refused("invalid-argument", "an alias is neither a number nor latest")
    past.and_given(facts.AliasMoved(alias=alias, version=1), created(2))
    past.when(commands.MoveAlias(alias=alias, version=2)).then(facts.AliasMoved(alias=alias, version=2))
    past.when(commands.RemoveAlias(alias=alias)).then(facts.AliasRemoved(alias=alias))


def test_the_live_version_is_kept() -> None:
    one_live().when(ARCHIVE_1).then_refused("in-use", "live in production")


def test_the_candidate_and_the_stable_version_of_a_running_release_are_kept() -> None:
    canary().when(commands.ArchiveVersion(version=2)).then_refused("in-use", "release 2 of fraud")


def test_the_rollback_target_is_kept() -> None:
    completed(one_live(), 2, 2, stable=1).when(ARCHIVE_1).then_refused("in-use", "rollback target")


def test_a_version_from_two_releases_before_can_be_archived() -> None:
    past = completed(one_live(), 2, 2, stable=1).and_given(*passed(3))
    completed(past, 3, 3, stable=2).when(ARCHIVE_1).then(facts.VersionArchived(version=1, reason="old"))


def test_the_target_of_an_alias_is_kept() -> None:
    aliased = facts.AliasMoved(alias="champion", version=1)
    given(*passed(), aliased).when(ARCHIVE_1).then_refused("in-use", "champion")
    archived = given(*passed(), facts.VersionArchived(version=1), aliased)
    archived.when(commands.PurgeVersion(version=1)).then_refused("in-use", "champion")


def test_an_alias_is_moved_and_removed() -> None:
    past = given(created(1), created(2))
    past.when(commands.MoveAlias(alias="champion", version=1)).then(facts.AliasMoved(alias="champion", version=1))
    past.and_given(facts.AliasMoved(alias="champion", version=1))
    past.when(commands.MoveAlias(alias="champion", version=1)).then_nothing()
    past.when(commands.MoveAlias(alias="champion", version=2)).then(facts.AliasMoved(alias="champion", version=2))
    past.when(commands.MoveAlias(alias="champion", version=3)).then_refused("not-found", "version 3 of fraud")
    past.when(commands.MoveAlias(alias="a/b", version=1)).then_refused("invalid-argument", "alias")
    past.when(commands.RemoveAlias(alias="champion")).then(facts.AliasRemoved(alias="champion"))
    past.when(commands.RemoveAlias(alias="other")).then_refused("not-found", "other")


def test_a_quarantine_is_set_and_lifted_once() -> None:
    past = given(*passed())
    past.when(commands.QuarantineCandidate(version=1, reason="bias")).then(
        facts.CandidateQuarantined(version=1, reason="bias")
    )
    past.and_given(facts.CandidateQuarantined(version=1))
    assert past.version().label == "quarantined"
    past.when(commands.QuarantineCandidate(version=1)).then_nothing()
    past.when(commands.LiftQuarantine(version=1, reason="checked")).then(
        facts.QuarantineLifted(version=1, reason="checked")
    )
    past.and_given(facts.QuarantineLifted(version=1))
    assert past.version().label == "passed"


@pytest.mark.parametrize(
    "command",
    [
        commands.TagVersion,
        commands.ArchiveVersion,
        commands.PurgeVersion,
        commands.QuarantineCandidate,
        commands.LiftQuarantine,
    ],
)
def test_a_version_that_does_not_exist_is_not_found(command: type) -> None:
    given(created()).when(command(version=2)).then_refused("not-found", "version 2 of fraud")


def test_a_model_is_created_once_and_described_again() -> None:
    past = given()
    past.when(commands.CreateModel(description="d")).then(facts.ModelCreated(description="d"))
    past.when(commands.CreateModel(description="d" * 4097)).then_refused("invalid-argument", "4096")
    past.and_given(facts.ModelCreated(description="d"))
    past.when(commands.CreateModel()).then_refused("already-exists")
    past.when(commands.DescribeModel(description="e")).then(facts.ModelDescribed(description="e"))
    past.and_given(facts.ModelDescribed(description="e", repository="r"), created())
    assert past.state.model.repository == "r"
    assert past.version().retention == resources.RETENTION_STATE_KEPT
