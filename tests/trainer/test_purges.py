"""What may be deleted follows from the folded models alone."""

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from headgate.domain.model import ModelState
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.trainer.purges import (
    GRACE_MS,
    MAX_PURGES,
    Purge,
    needed_blobs,
    purges,
    settled_uploads,
    stale_checkpoints,
    stored_before_ms,
)
from tests.model_states import with_versions

PURGED, ARCHIVED, KEPT = (
    resources.RETENTION_STATE_PURGED,
    resources.RETENTION_STATE_ARCHIVED,
    resources.RETENTION_STATE_KEPT,
)
Retention = resources.RetentionState.ValueType
NOW = 10_000_000_000


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def version(number: int, retention: Retention, files: str, build: str = "TRAINED") -> resources.Version:
    """A version of the files with these letters, under a manifest of its own."""
    named = [facts.ArtifactFile(name=letter, sha256=sha(letter)) for letter in files]
    return resources.Version(
        version=number,
        retention=retention,
        build=resources.BuildState.Value(f"BUILD_STATE_{build}"),
        artifact=facts.Artifact(manifest_sha256=sha(f"manifest {number} {files}"), files=named),
    )


def test_the_logs_of_a_purged_version_are_deleted_also_when_it_was_never_trained() -> None:
    def printed(number: int, retention: Retention, *texts: str) -> resources.Version:
        logs = [facts.StageLog(attempt=1, sha256=sha(text) if text else "") for text in texts]
        return resources.Version(version=number, retention=retention, logs=logs)

    models = {"fraud": with_versions("fraud", printed(1, PURGED, "own", "shared", ""), printed(2, KEPT, "shared"))}
    assert purges(models, ()) == [Purge("models/fraud/versions/1", "", (sha("own"),))]
    assert purges({"fraud": with_versions("fraud", printed(1, PURGED, ""))}, ()) == []


def trained(retention: Retention) -> st.SearchStrategy[tuple[Retention, str]]:
    return st.tuples(st.just(retention), st.text("abcdef", max_size=4))


VERSIONS = st.lists(st.one_of(trained(KEPT), trained(ARCHIVED), trained(PURGED)), max_size=MAX_PURGES)


@given(VERSIONS, VERSIONS)
def test_exactly_the_blobs_that_purged_versions_alone_name_are_deleted(
    fraud: list[tuple[Retention, str]], tiny: list[tuple[Retention, str]]
) -> None:
    models = {
        name: with_versions(name, *(version(number, *each) for number, each in enumerate(versions, start=1)))
        for name, versions in (("fraud", fraud), ("tiny", tiny))
    }
    versions = [each for state in models.values() for each in state.versions.values()]
    kept = set().union(*(blobs(each) for each in versions if each.retention != PURGED))
    gone = set().union(*(blobs(each) for each in versions if each.retention == PURGED))
    assert deleted(models) == gone - kept


def blobs(each: resources.Version) -> set[str]:
    return {each.artifact.manifest_sha256, *(file.sha256 for file in each.artifact.files)}


def deleted(models: dict[str, ModelState]) -> set[str]:
    """What all rounds together delete."""
    found: set[str] = set()
    ended: set[str] = set()
    while due := purges(models, ended):
        assert len(due) <= MAX_PURGES
        assert not ended & {purge.version for purge in due}
        ended |= {purge.version for purge in due}
        found = found.union(*({purge.manifest, *purge.files} for purge in due))
    return found - {""}


def test_a_file_that_two_versions_share_goes_with_the_second_of_them() -> None:
    first, second = version(1, PURGED, "ab"), version(2, KEPT, "bc")
    models = {"fraud": with_versions("fraud", first, second)}
    manifest = first.artifact.manifest_sha256
    assert purges(models, set()) == [Purge("models/fraud/versions/1", manifest, (sha("a"),))]
    models["fraud"].versions[2].retention = PURGED
    (due,) = purges(models, {"models/fraud/versions/1"})
    assert set(due.files) == {sha("b"), sha("c")}


def test_a_version_without_an_artifact_has_nothing_to_delete() -> None:
    never_trained = resources.Version(version=1, retention=PURGED)
    assert purges({"fraud": with_versions("fraud", never_trained)}, set()) == []


def test_a_blob_may_go_once_it_is_older_than_every_attempt_in_progress() -> None:
    assert stored_before_ms({}, NOW) == NOW - GRACE_MS
    training = version(1, KEPT, "", "TRAINING")
    training.lease.claimed_at_ms = NOW - 9_000_000
    models = {"fraud": with_versions("fraud", training)}
    assert stored_before_ms(models, NOW) == NOW - 9_000_000 - GRACE_MS
    models["fraud"].versions[1].retention = ARCHIVED
    assert stored_before_ms(models, NOW) == NOW - GRACE_MS


LETTERS = st.sampled_from("abcdefgh")


@given(
    st.dictionaries(LETTERS.map(sha), st.integers(NOW - 10, NOW + 10)),
    st.lists(
        st.tuples(
            LETTERS, LETTERS, st.sampled_from([KEPT, ARCHIVED, PURGED]), st.sampled_from(["CREATED", "TRAINING_FAILED"])
        )
    ),
)
def test_an_upload_is_unused_only_when_it_is_old_and_no_version_names_it(
    uploaded_at_ms: dict[str, int], named: list[tuple[str, str, Retention, str]]
) -> None:
    versions = [version(number, retention, "", build) for number, (_, _, retention, build) in enumerate(named, start=1)]
    for each, (model, rows, _, _) in zip(versions, named, strict=True):
        each.upload.model_sha256, each.upload.rows_sha256 = sha(model), sha(rows)
    needed = needed_blobs({"tiny": with_versions("tiny", *versions)})
    settled = settled_uploads(needed, uploaded_at_ms, NOW)
    kept = {sha(letter) for model, rows, retention, _ in named if retention != PURGED for letter in (model, rows)}
    assert set(settled.used) == kept & uploaded_at_ms.keys()
    left = uploaded_at_ms.keys() - kept - set(settled.unused)
    assert not set(settled.unused) & kept
    assert all(uploaded_at_ms[sha256] < NOW for sha256 in settled.unused)
    assert all(uploaded_at_ms[sha256] >= NOW for sha256 in left)


def test_checkpoints_of_versions_that_are_no_longer_trained_are_stale() -> None:
    models = {
        "fraud": with_versions(
            "fraud",
            version(1, KEPT, "", "TRAINING"),
            version(2, KEPT, "", "TRAINED"),
            version(3, KEPT, "", "TRAINING_FAILED"),
            version(4, PURGED, "", "TRAINING"),
            version(5, KEPT, "", "CREATED"),
        )
    }
    names = [f"checkpoints/models/fraud/versions/{number}" for number in range(1, 7)]
    others = ["checkpoints/models/other/versions/1", "checkpoints/models/fraud", "checkpoints/../keys"]
    stale = list(stale_checkpoints(models, names + others))
    assert stale == [f"models/fraud/versions/{number}" for number in (2, 3, 4)]
