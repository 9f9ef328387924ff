"""Tags, quarantine, archive, purge and aliases."""

import pytest

from headgate.v1 import commands_pb2 as k
from headgate.v1 import facts_pb2 as f
from headgate.v1 import resources_pb2 as r
from tests.domain.scenario import canary, completed, created, given, one_live, passed

ARCHIVE_1 = k.ArchiveVersion(version=1, reason="old")


def test_a_tag_is_set_changed_and_removed() -> None:
    past = given(created())
    past.when(k.TagVersion(version=1, key="team", value="risk")).then(
        f.VersionTagged(version=1, key="team", value="risk")
    )
    past.and_given(f.VersionTagged(version=1, key="team", value="risk"))
    past.when(k.TagVersion(version=1, key="team", value="risk")).then_nothing()
    past.when(k.TagVersion(version=1, key="team")).then(f.VersionTagged(version=1, key="team"))
    past.and_given(f.VersionTagged(version=1, key="team"))
    assert not past.version().tags
    past.when(k.TagVersion(version=1, key="team")).then_nothing()


def test_tags_have_limits() -> None:
    past = given(created())
    past.when(k.TagVersion(version=1, key="Team", value="x")).then_refused("invalid-argument", "key")
    past.when(k.TagVersion(version=1, key="k", value="x" * 1025)).then_refused("invalid-argument", "1024")
    past.and_given(*(f.VersionTagged(version=1, key=f"k{i}", value="x") for i in range(64)))
    past.when(k.TagVersion(version=1, key="one-more", value="x")).then_refused("invalid-argument", "64")


def test_a_version_is_archived_before_it_is_purged() -> None:
    past = given(*passed())
    past.when(k.PurgeVersion(version=1)).then_refused("illegal-transition", "archived")
    past.when(ARCHIVE_1).then(f.VersionArchived(version=1, reason="old"))
    past.and_given(f.VersionArchived(version=1))
    assert past.version().label == "archived"
    past.when(ARCHIVE_1).then_nothing()
    past.when(k.PurgeVersion(version=1)).then(f.VersionPurged(version=1))
    past.and_given(f.VersionPurged(version=1))
    past.when(k.PurgeVersion(version=1)).then_nothing()
    past.when(ARCHIVE_1).then_nothing()
    past.when(k.MoveAlias(alias="a", version=1)).then_refused("invalid-argument", "purged")


def test_the_live_version_is_kept() -> None:
    one_live().when(ARCHIVE_1).then_refused("in-use", "live in production")


def test_the_candidate_and_the_stable_version_of_a_running_release_are_kept() -> None:
    canary().when(k.ArchiveVersion(version=2)).then_refused("in-use", "releases/2")


def test_the_rollback_target_is_kept() -> None:
    completed(one_live(), 2, 2, stable=1).when(ARCHIVE_1).then_refused("in-use", "rollback target")


def test_a_version_two_releases_back_may_go() -> None:
    past = completed(one_live(), 2, 2, stable=1).and_given(*passed(3))
    completed(past, 3, 3, stable=2).when(ARCHIVE_1).then(f.VersionArchived(version=1, reason="old"))


def test_the_target_of_an_alias_is_kept() -> None:
    aliased = f.AliasMoved(alias="champion", version=1)
    given(*passed(), aliased).when(ARCHIVE_1).then_refused("in-use", "champion")
    archived = given(*passed(), f.VersionArchived(version=1), aliased)
    archived.when(k.PurgeVersion(version=1)).then_refused("in-use", "champion")


def test_an_alias_moves_and_goes() -> None:
    past = given(created(1), created(2))
    past.when(k.MoveAlias(alias="champion", version=1)).then(f.AliasMoved(alias="champion", version=1))
    past.and_given(f.AliasMoved(alias="champion", version=1))
    past.when(k.MoveAlias(alias="champion", version=1)).then_nothing()
    past.when(k.MoveAlias(alias="champion", version=2)).then(f.AliasMoved(alias="champion", version=2))
    past.when(k.MoveAlias(alias="champion", version=3)).then_refused("not-found", "versions/3")
    past.when(k.MoveAlias(alias="a/b", version=1)).then_refused("invalid-argument", "alias")
    past.when(k.RemoveAlias(alias="champion")).then(f.AliasRemoved(alias="champion"))
    past.when(k.RemoveAlias(alias="other")).then_refused("not-found", "other")


def test_quarantine_is_set_and_lifted_once() -> None:
    past = given(*passed())
    past.when(k.LiftQuarantine(version=1)).then_nothing()
    past.when(k.QuarantineCandidate(version=1, reason="bias")).then(f.CandidateQuarantined(version=1, reason="bias"))
    past.and_given(f.CandidateQuarantined(version=1))
    assert past.version().label == "quarantined"
    past.when(k.QuarantineCandidate(version=1)).then_nothing()
    past.when(k.LiftQuarantine(version=1, reason="checked")).then(f.QuarantineLifted(version=1, reason="checked"))
    past.and_given(f.QuarantineLifted(version=1))
    assert past.version().label == "passed"


@pytest.mark.parametrize(
    "command", [k.TagVersion, k.ArchiveVersion, k.PurgeVersion, k.QuarantineCandidate, k.LiftQuarantine]
)
def test_a_version_that_does_not_exist_is_not_found(command: type) -> None:
    given(created()).when(command(version=2)).then_refused("not-found", "versions/2")


def test_a_model_is_created_once_and_described_again() -> None:
    past = given()
    past.when(k.CreateModel(description="d")).then(f.ModelCreated(description="d"))
    past.when(k.CreateModel(description="d" * 4097)).then_refused("invalid-argument", "4096")
    past.and_given(f.ModelCreated(description="d"))
    past.when(k.CreateModel()).then_refused("already-exists")
    past.when(k.DescribeModel(description="e")).then(f.ModelDescribed(description="e"))
    past.and_given(f.ModelDescribed(description="e", repository="r"), created())
    assert past.state.model.repository == "r"
    assert past.version().retention == r.RETENTION_STATE_KEPT
