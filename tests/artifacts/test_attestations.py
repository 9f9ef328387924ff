"""The gate's verdict and the promotions of a version, with the fields of the published predicates."""

import json
from typing import Any

import pytest

from headgate.artifacts.attestations import (
    MAX_SUMMARIES,
    TEST_RESULT,
    VERIFICATION_SUMMARY,
    absence,
    attestations_of,
)
from headgate.artifacts.model_statement import model_statement
from headgate.domain.label import label
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

NAME = "models/fraud/versions/3"
DIGESTS = {"model.onnx": "aa" * 32, "training.json": "bb" * 32}
STATES = resources.VerdictState


def rule(metric: str, passed: bool, part: str = "") -> facts.RuleResult:
    return facts.RuleResult(rule=configuration.GateRule(metric=metric, slice=part), passed=passed)


def version(
    verdict: resources.VerdictState.ValueType, *results: facts.RuleResult, approvals: int = 0
) -> resources.Version:
    files = [facts.ArtifactFile(name=name, sha256=sha256) for name, sha256 in DIGESTS.items()]
    found = resources.Version(
        name=NAME,
        version=3,
        build=resources.BUILD_STATE_EVALUATED,
        verdict=verdict,
        retention=resources.RETENTION_STATE_KEPT,
        artifact=facts.Artifact(files=files, manifest_sha256="cc" * 32, signed_by="dd" * 32),
        configuration=configuration.ModelConfiguration(digest=b"\xee" * 32),
    )
    if verdict != resources.VERDICT_STATE_UNDECIDED:
        policy = configuration.GatePolicy(approvals=approvals)
        passed = all(each.passed for each in results)
        found.gate.CopyFrom(facts.GateDecided(passed=passed, policy=policy, policy_sha256="ff" * 32, results=results))
    found.label = label(found)
    return found


def release(number: int, environment: str = "production", **more: Any) -> resources.Release:
    values = {"candidate": 3, "phase": resources.PHASE_COMPLETED, "ended_at_ms": 1_000 * number, **more}
    return resources.Release(
        name=f"models/fraud/releases/{number}",
        release=number,
        environment=environment,
        policy_sha256=f"{number:02x}" * 32,
        **values,
    )


def statements(version: resources.Version, *releases: resources.Release) -> list[dict[str, Any]]:
    return [json.loads(each.statement) for each in attestations_of(version, releases)]


def test_the_verdict_is_a_test_result_about_the_files_of_the_model_signature() -> None:
    passed = version(resources.VERDICT_STATE_PASSED, rule("recall", True), rule("recall", True, "north"))
    (found,) = statements(passed)
    signed = json.loads(model_statement(NAME, DIGESTS))
    files = [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in DIGESTS.items()]
    assert found == {
        "_type": signed["_type"],
        "subject": [*signed["subject"], *files],
        "predicateType": TEST_RESULT,
        "predicate": {
            "result": "PASSED",
            "configuration": [
                {"name": "headgate.toml", "digest": {"sha256": "ee" * 32}},
                {"name": "gate policy", "digest": {"sha256": "ff" * 32}},
            ],
            "passedTests": ["recall", "recall in the slice north"],
            "warnedTests": [],
            "failedTests": [],
            "headgate_verdict": "passed",
        },
    }


GOOD, BAD = rule("recall", True), rule("mae", False)


@pytest.mark.parametrize(
    ("verdict", "results", "approvals", "expected"),
    [
        ("FAILED", [GOOD, BAD], 0, ("FAILED", ["recall"], [], ["mae"])),
        ("FAILED", [GOOD, BAD], 2, ("FAILED", ["recall"], [], ["mae"])),
        ("FAILED", [BAD, rule("mae", True)], 0, ("FAILED", [], [], ["mae"])),
        ("WAIVED", [GOOD, BAD], 0, ("WARNED", ["recall"], ["mae"], [])),
        ("AWAITING_APPROVAL", [GOOD], 1, ("WARNED", ["recall"], ["approvals"], [])),
        ("APPROVED", [GOOD], 1, ("PASSED", ["recall", "approvals"], [], [])),
        ("DENIED", [GOOD], 1, ("FAILED", ["recall"], [], ["approvals"])),
    ],
)
def test_only_what_may_be_released_without_a_waiver_has_passed(
    verdict: str, results: list[facts.RuleResult], approvals: int, expected: tuple[Any, ...]
) -> None:
    state = STATES.Value(f"VERDICT_STATE_{verdict}")
    (found,) = statements(version(state, *results, approvals=approvals))
    predicate = found["predicate"]
    assert tuple(predicate[key] for key in ("result", "passedTests", "warnedTests", "failedTests")) == expected
    assert predicate["headgate_verdict"] == verdict.lower().replace("_", " ")


def test_the_newest_promotion_in_each_environment_is_a_verification_summary() -> None:
    passed = version(resources.VERDICT_STATE_PASSED)
    others = (
        release(8, candidate=2),
        release(9, phase=resources.PHASE_ROLLED_BACK),
        release(10, "later", phase=resources.PHASE_STEPPING),
    )
    result, newest, staging = statements(passed, release(1), release(2, "staging"), release(5), *others)
    assert result["predicateType"] == TEST_RESULT
    assert (newest["predicateType"], newest["subject"]) == (VERIFICATION_SUMMARY, result["subject"])
    assert newest["predicate"] == {
        "verifier": {"id": "https://headgate.dev/registry"},
        "timeVerified": "1970-01-01T00:00:05Z",
        "resourceUri": "headgate:environments/production/models/fraud",
        "policy": {"uri": "headgate:environments/production/policy", "digest": {"sha256": "05" * 32}},
        "inputAttestations": [{"uri": "model.sig", "digest": {"sha256": "cc" * 32}}],
        "verificationResult": "PASSED",
        "verifiedLevels": ["RELEASED_BY_HEADGATE"],
        "slsaVersion": "1.0",
        "headgate_release": "models/fraud/releases/5",
        "headgate_verdict": "passed",
    }
    assert staging["predicate"]["headgate_release"] == "models/fraud/releases/2"


def test_a_quarantined_version_gets_no_verification_summary() -> None:
    quarantined = version(resources.VERDICT_STATE_PASSED)
    quarantined.quarantined = True
    assert [each.name for each in attestations_of(quarantined, [release(1)])] == ["test-result"]


def test_the_summaries_of_very_many_environments_are_limited_to_the_newest() -> None:
    passed = version(resources.VERDICT_STATE_PASSED)
    found = attestations_of(passed, [release(number, f"e{number}") for number in range(1, MAX_SUMMARIES + 2)])
    assert len(found) == 1 + MAX_SUMMARIES
    assert "e1" not in {each.environment for each in found}


def test_what_cannot_be_attested_says_why() -> None:
    undecided = version(resources.VERDICT_STATE_UNDECIDED)
    unsigned, old, purged = (version(resources.VERDICT_STATE_PASSED) for _ in range(3))
    unsigned.artifact.manifest_sha256 = ""
    old.artifact.signed_by = ""
    purged.retention = resources.RETENTION_STATE_PURGED
    purged.label = label(purged)
    for each, reason in (
        (undecided, "version 3 of fraud waits for the verdict of its gate, so nothing is decided"),
        (unsigned, "so it has no signed files to attest"),
        (old, "the signature of version 3 of fraud is of an older version of Headgate"),
        (purged, "version 3 of fraud is purged, so it has no signed files"),
    ):
        assert reason in absence(each)
        assert attestations_of(each, [release(1)]) == []
