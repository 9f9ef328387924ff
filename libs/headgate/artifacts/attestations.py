"""What the gate and the releases say of a version, as statements of in-toto that admission controllers read.

The gate's verdict is a test result, and a completed release a verification summary. Both follow from the folded state
alone, so the same state gives the same bytes. The fields are those of

- https://github.com/in-toto/attestation/blob/main/spec/predicates/test-result.md
- https://slsa.dev/spec/v1.0/verification_summary
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from headgate.artifacts.bundle import Json, statement_of
from headgate.artifacts.model_statement import SIGNATURE_NAME, root_digest
from headgate.domain.gate import name_of
from headgate.domain.label import standing
from headgate.domain.names import environment_stream, in_words, split_numbered
from headgate.domain.versions import is_purged
from headgate.domain.words import rfc3339, word_of
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

TEST_RESULT = "https://in-toto.io/attestation/test-result/v0.1"
VERIFICATION_SUMMARY = "https://slsa.dev/verification_summary/v1"
VERIFIER = "https://headgate.dev/registry"
SLSA_VERSION = "1.0"
RELEASED = "RELEASED_BY_HEADGATE"
"""The level of a version whose release is completed. The standard leaves names without SLSA_ to their users."""
APPROVALS = "approvals"
"""The test that people give, in a gate that asks for their approvals."""
PASSED, WARNED, FAILED = "PASSED", "WARNED", "FAILED"
MAX_SUMMARIES = 50
"""Environments whose promotions are attested, the newest first. An answer stays below gRPC's limit for a message."""

RESULTS: Mapping[resources.VerdictState.ValueType, str] = {
    resources.VERDICT_STATE_PASSED: PASSED,
    resources.VERDICT_STATE_APPROVED: PASSED,
    resources.VERDICT_STATE_AWAITING_APPROVAL: WARNED,
    resources.VERDICT_STATE_WAIVED: WARNED,
    resources.VERDICT_STATE_FAILED: FAILED,
    resources.VERDICT_STATE_DENIED: FAILED,
}
"""PASSED is only what may be released without anybody's waiver. An undecided gate has no result."""


@dataclass(frozen=True, slots=True)
class Attestation:
    """A statement that is not signed yet. `environment` is empty for the gate."""

    name: str
    predicate_type: str
    result: str
    environment: str
    statement: bytes


def attestations_of(version: resources.Version, releases: Iterable[resources.Release]) -> list[Attestation]:
    """Those of a version: its gate's verdict, and its newest promotion in each environment. `absence` says why none.

    A promotion is not attested while the version is quarantined. `releases` are those of its model.
    """
    if absence(version):
        return []
    promotions = [] if version.quarantined else promotions_of(version, releases)
    return [_test_result(version), *(_summary(version, release) for release in promotions)]


def absence(version: resources.Version) -> str:
    """Why a version has no attestations. Empty when it has some."""
    if is_purged(version) or not version.artifact.manifest_sha256:
        return f"{standing(version)}, so it has no signed files to attest"
    if not version.artifact.signed_by:
        return f"the signature of {in_words(version.name)} is of an older version of Headgate, which named no key"
    if version.verdict not in RESULTS:
        return f"{standing(version)}, so nothing is decided that could be attested"
    return ""


def promotions_of(version: resources.Version, releases: Iterable[resources.Release]) -> list[resources.Release]:
    """The newest completed release of a version in each environment, the newest first."""
    newest: dict[str, resources.Release] = {}
    for release in sorted(releases, key=lambda each: each.release, reverse=True):
        if release.candidate == version.version and release.phase == resources.PHASE_COMPLETED:
            newest.setdefault(release.environment, release)
    return list(newest.values())[:MAX_SUMMARIES]


def _test_result(version: resources.Version) -> Attestation:
    result = RESULTS[version.verdict]
    tests = _tests(version)
    predicate = {
        "result": result,
        "configuration": list(_configuration(version)),
        **{key: [name for name, outcome in tests.items() if outcome == wanted] for key, wanted in _LISTS.items()},
        "headgate_verdict": word_of(resources.VerdictState, version.verdict),
    }
    statement = statement_of(_subjects(version), TEST_RESULT, predicate)
    return Attestation("test-result", TEST_RESULT, result, "", statement)


_LISTS: Mapping[str, str] = {"passedTests": PASSED, "warnedTests": WARNED, "failedTests": FAILED}


def _tests(version: resources.Version) -> dict[str, str]:
    """The outcome of each rule of the gate by its name, and that of the approvals. A waived rule is a warning."""
    missed = WARNED if version.verdict == resources.VERDICT_STATE_WAIVED else FAILED
    tests: dict[str, str] = {}
    for each in version.gate.results:
        name = name_of(each.rule)
        # A gate may have several rules about one metric: the worst outcome counts.
        tests[name] = missed if not each.passed or tests.get(name) == missed else PASSED
    if version.gate.passed and version.gate.policy.approvals:
        tests[APPROVALS] = RESULTS[version.verdict]
    return tests


def _configuration(version: resources.Version) -> Iterator[Json]:
    """What the gate decided by: its policy, and the file of the commit that has it."""
    if version.configuration.digest:
        yield {"name": "headgate.toml", "digest": {"sha256": version.configuration.digest.hex()}}
    yield {"name": "gate policy", "digest": {"sha256": version.gate.policy_sha256}}


def _summary(version: resources.Version, release: resources.Release) -> Attestation:
    model = (split_numbered(version.name, "versions") or ("", 0))[0]
    environment = environment_stream(release.environment)
    predicate = {
        "verifier": {"id": VERIFIER},
        "timeVerified": rfc3339(release.ended_at_ms, "seconds"),
        "resourceUri": f"headgate:{environment}/models/{model}",
        "policy": {"uri": f"headgate:{environment}/policy", "digest": {"sha256": release.policy_sha256}},
        "inputAttestations": [{"uri": SIGNATURE_NAME, "digest": {"sha256": version.artifact.manifest_sha256}}],
        "verificationResult": PASSED,
        "verifiedLevels": [RELEASED],
        "slsaVersion": SLSA_VERSION,
        "headgate_release": release.name,
        "headgate_verdict": word_of(resources.VerdictState, version.verdict),
    }
    statement = statement_of(_subjects(version), VERIFICATION_SUMMARY, predicate)
    name = f"verification-summary-{release.environment}"
    return Attestation(name, VERIFICATION_SUMMARY, PASSED, release.environment, statement)


def _subjects(version: resources.Version) -> list[Json]:
    """All files as one, as the signature of the model has them, and then each file."""
    files: list[facts.ArtifactFile] = sorted(version.artifact.files, key=lambda file: file.name)
    whole: Json = {"name": version.name, "digest": {"sha256": root_digest(file.sha256 for file in files)}}
    return [whole, *({"name": file.name, "digest": {"sha256": file.sha256}} for file in files)]
