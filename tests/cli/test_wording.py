"""The texts that people read: one line for each fact, and a release without empty explanations."""

import pytest

from headgate.cli.columns import RELEASE, VERSION, VERSIONS
from headgate.cli.printing import progress
from headgate.cli.render import Format, show_one
from headgate.client.timeline import describe
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

PAUSED = facts.LifecycleRecord(release_paused=facts.ReleasePaused(release=5, reason="no data"))
RESUMED = facts.LifecycleRecord(release_resumed=facts.ReleaseResumed(release=5))


def aborted(reason: str) -> facts.LifecycleRecord:
    cause = facts.ROLLBACK_CAUSE_ABORTED
    return facts.LifecycleRecord(rollback_started=facts.RollbackStarted(release=5, cause=cause, reason=reason))


def test_a_fact_described_by_its_name_has_the_word_release_once():
    assert describe(PAUSED) == "release 5 paused: no data"
    assert describe(RESUMED) == "release 5 resumed"


def test_a_version_without_a_commit_message_is_described_by_the_commit_alone():
    created = facts.VersionCreated(version=2, commit="a" * 40)
    assert describe(facts.LifecycleRecord(version_created=created)) == "v2 created from aaaaaaaaaa"


def test_an_import_is_described_without_a_commit():
    created = facts.VersionCreated(version=2, commit_message="imported from model.onnx")
    assert describe(facts.LifecycleRecord(version_created=created)) == "v2 created: imported from model.onnx"


def test_a_rollback_without_a_reason_is_described_by_its_cause_alone():
    assert describe(aborted("")) == "release 5 ROLLS BACK (aborted)"
    assert describe(aborted("noise")) == "release 5 ROLLS BACK (aborted): noise"


def test_an_evaluation_names_another_signature_and_a_live_version_that_could_not_be_measured():
    measured = facts.EvaluationFinished(version=2, baseline_version=1, baseline_failure="it takes 3 columns")
    measured.report.metrics.add(name="mse", value=0.5)
    measured.signature_change = "the input is wider"
    described = describe(facts.LifecycleRecord(evaluation_finished=measured))
    assert described == (
        "v2 measured: mse 0.5000; the input is wider; version 1, which is live, cannot be measured: it takes 3 columns"
    )
    version = resources.Version(baseline_version=1, baseline_failure="it takes 3 columns", signature_change="wider")
    shown = {column.name: column.cell(version) for column in VERSION}
    assert (shown["SIGNATURE"], shown["NOT COMPARED"]) == ("wider", "version 1: it takes 3 columns")


def test_an_undefined_metric_is_shown_with_its_reason_and_named_in_lists():
    measured = facts.EvaluationFinished(version=2)
    measured.report.metrics.add(name="accuracy", value=0.5)
    measured.report.undefined.add(name="recall", reason="no row is positive")
    described = describe(facts.LifecycleRecord(evaluation_finished=measured))
    assert described == "v2 measured: accuracy 0.5000; recall is undefined: no row is positive"
    version = resources.Version(report=measured.report)
    assert {column.name: column.cell(version) for column in VERSION}["METRICS"] == (
        "accuracy 0.5000\nrecall is undefined: no row is positive"
    )
    version.report.metrics[0].no_interval = "there is only one row"
    assert {column.name: column.cell(version) for column in VERSION}["METRICS"] == (
        "accuracy 0.5000\naccuracy has no interval: there is only one row\nrecall is undefined: no row is positive"
    )
    assert {column.name: column.cell(version) for column in VERSIONS}["METRICS"] == "accuracy 0.5000  undefined: recall"


def test_intervals_and_slices_are_shown_on_the_page_of_a_version():
    report = facts.EvaluationReport()
    interval = facts.Interval(low=0.25, high=0.75, confidence=0.95)
    report.metrics.add(name="accuracy", value=0.5, interval=interval)
    part = report.slices.add(slice="north", rows=7)
    part.metrics.add(name="accuracy", value=1.0)
    part.undefined.add(name="recall", reason="no row is positive")
    shown = {column.name: column.cell(resources.Version(report=report)) for column in VERSION}
    assert shown["METRICS"] == "accuracy 0.5000 [0.2500, 0.7500]"
    assert shown["SLICES"] == "north (7 rows): accuracy 1.0000  undefined: recall"


def test_text_of_records_is_printed_as_it_is(capsys: pytest.CaptureFixture[str]):
    text = "the input is features float [n, 4] [red]:fire:"
    progress.print(text)
    assert capsys.readouterr().err == f"{text}\n"
    show_one(resources.Version(signature_change=text), VERSION, Format.TABLE)
    assert text in capsys.readouterr().out


def test_a_judgement_is_shown_once_a_caller_was_counted():
    judgement = facts.Judgement(explanation="Undecided", strata=[facts.Stratum(epoch=1)])
    show = {column.name: column.cell for column in RELEASE}["JUDGEMENT"]
    assert show(resources.Release(judgement=judgement)) == ""
    judgement.strata[0].stable_keys = 1
    assert show(resources.Release(judgement=judgement)) == "Undecided"


@pytest.mark.parametrize(
    ("fact", "line"),
    [
        ({"alias_moved": facts.AliasMoved(alias="champion", version=3)}, "alias champion names v3"),
        ({"alias_removed": facts.AliasRemoved(alias="champion")}, "alias champion removed"),
        ({"version_tagged": facts.VersionTagged(version=3, key="seen", value="ada")}, "v3 tag seen set to ada"),
        ({"version_tagged": facts.VersionTagged(version=3, key="seen")}, "v3 tag seen removed"),
        ({"model_labelled": facts.ModelLabelled(key="team", value="risk")}, "label team set to risk"),
        ({"model_labelled": facts.ModelLabelled(key="team")}, "label team removed"),
        (
            {"repository_added": facts.RepositoryAdded(repository="https://git.example/fraud", branch="main")},
            "commits on main of https://git.example/fraud become versions",
        ),
        (
            {"repository_removed": facts.RepositoryRemoved(repository="https://git.example/fraud")},
            "commits of https://git.example/fraud become no versions any more",
        ),
        ({"freeze_declared": facts.FreezeDeclared(freeze="xmas", reason="quiet")}, "freeze xmas declared: quiet"),
        ({"freeze_lifted": facts.FreezeLifted(freeze="xmas")}, "freeze xmas lifted"),
        ({"version_archived": facts.VersionArchived(version=3, reason="old")}, "v3 archived: old"),
        ({"candidate_quarantined": facts.CandidateQuarantined(version=3)}, "v3 quarantined"),
        ({"quarantine_lifted": facts.QuarantineLifted(version=3)}, "v3 quarantine lifted"),
        (
            {"release_requested": facts.ReleaseRequested(release=4, candidate=1, environment="eu", undo_of=3)},
            "release 4 requested: v1 into eu, unspecified, undo of release 3",
        ),
    ],
)
def test_what_people_changed_is_described_with_its_name(fact, line: str):
    assert describe(facts.LifecycleRecord(**fact)) == line
