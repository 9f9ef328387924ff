"""The stories of the recorded histories. Each sends commands to the registry's decider.

A recorded file stays for ever. When new rules refuse a command of a story, the story is changed or removed.
"""

from collections.abc import Callable, Mapping

from headgate.domain.policy import MINUTE_MS
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from tests.domain.scenario import POLICY, REPOSITORY, commit, report
from tests.histories.recorder import Recorder

FRAUD, CHURN = "models/fraud", "models/churn"
ACCESS = "access/default"
PRODUCTION = "environments/production"
LEASE_MS = 60_000
GATEWAYS = ["gateway-0", "gateway-1"]


def canary_promoted(recorder: Recorder) -> None:
    """A model's first version goes live directly, its second by a canary that is promoted on evidence."""
    recorder.send(
        FRAUD, commands.CreateModel(description="card payments", repository=REPOSITORY, labels={"team": "risk"})
    )
    recorder.send(FRAUD, commands.DescribeModel(description="card payments, worldwide", repository=REPOSITORY))
    recorder.send(FRAUD, commands.LabelModel(key="tier", value="1"), commands.LabelModel(key="team", value=""))
    recorder.send(PRODUCTION, commands.CreateEnvironment(description="what customers meet"))
    recorder.send(PRODUCTION, commands.SetPolicy(policy=POLICY))
    _pass(recorder, FRAUD, 1)
    _release_directly(recorder, FRAUD, 1, 1)
    _pass(recorder, FRAUD, 2)
    recorder.send(FRAUD, commands.TagVersion(version=2, key="dataset", value="2026-01"))
    recorder.send(
        FRAUD, commands.MoveAlias(alias="champion", version=1), commands.MoveAlias(alias="challenger", version=2)
    )
    _step(recorder, FRAUD, 2, 2, steps=2)
    recorder.send(FRAUD, commands.PromoteRelease(release=2, judgement=_judgement(facts.VERDICT_PASS, 5000)))
    _apply(recorder, FRAUD, 2)
    recorder.wait(3600)
    recorder.send(FRAUD, commands.CompleteRelease(release=2, judgement=_judgement(facts.VERDICT_PASS, 10_000)))
    recorder.send(FRAUD, commands.MoveAlias(alias="champion", version=2), commands.RemoveAlias(alias="challenger"))


def repositories_declared(recorder: Recorder) -> None:
    """A model takes commits from two repositories; one changes its branch, and the other is taken back."""
    recorder.send(FRAUD, commands.CreateModel(repository=REPOSITORY))
    recorder.send(FRAUD, commands.AddRepository(repository=REPOSITORY, branch="main", secret="github"))
    mirror = "https://git.example.org/mirror/fraud.git"
    recorder.send(FRAUD, commands.AddRepository(repository=mirror, branch="main", secret="mirror"))
    recorder.send(FRAUD, commands.AddRepository(repository=REPOSITORY, branch="release/2", secret="github"))
    recorder.send(FRAUD, commands.RemoveRepository(repository=mirror))


def rolled_back_by_verdict(recorder: Recorder) -> None:
    """The judge fails a canary at its second step: it is rolled back, quarantined, and released by override."""
    _live_and_passed(recorder)
    _step(recorder, FRAUD, 2, 2, steps=2)
    failed = _judgement(facts.VERDICT_FAIL, 5000)
    cause = facts.ROLLBACK_CAUSE_VERDICT
    recorder.send(FRAUD, commands.RollBackRelease(release=2, cause=cause, reason="twice the errors", judgement=failed))
    _apply(recorder, FRAUD, 2)
    recorder.send(FRAUD, commands.FinishRollback(release=2))
    recorder.send(FRAUD, commands.StartRelease(environment="production", candidate=2, override_quarantine=True))
    recorder.send(
        FRAUD, commands.BeginRelease(release=3), commands.RollBackRelease(release=3, reason="thought better of it")
    )
    _apply(recorder, FRAUD, 3)
    recorder.send(FRAUD, commands.FinishRollback(release=3))
    recorder.send(FRAUD, commands.LiftQuarantine(version=2, reason="the errors were the network's"))


def frozen_and_paused(recorder: Recorder) -> None:
    """A release waits for a freeze, is paused and resumed. Of the waiting ones, one is superseded and one rejected."""
    _live_and_passed(recorder)
    _pass(recorder, FRAUD, 3)
    recorder.send(PRODUCTION, commands.CreateEnvironment())
    until_ms = recorder.now_ms + 60 * MINUTE_MS
    freeze = commands.DeclareFreeze(freeze="year-end", reason="closing", from_ms=recorder.now_ms, until_ms=until_ms)
    recorder.send(PRODUCTION, freeze)
    recorder.send(FRAUD, commands.StartRelease(environment="production", candidate=2, reason="first"))
    recorder.send(FRAUD, commands.PauseRelease(release=2, reason="not before the holidays"))
    recorder.send(FRAUD, commands.ResumeRelease(release=2, reason="after all"))
    recorder.send(FRAUD, commands.StartRelease(environment="production", candidate=3))
    recorder.send(FRAUD, commands.SupersedeRelease(release=2, by=3))
    recorder.send(PRODUCTION, commands.LiftFreeze(freeze="year-end", reason="closed"))
    recorder.send(FRAUD, commands.BeginRelease(release=3))
    recorder.send(FRAUD, commands.ReportCandidateReady(release=3, gateways=GATEWAYS))
    recorder.send(FRAUD, commands.SetWeights(release=3, step=0))
    _apply(recorder, FRAUD, 3)
    recorder.send(FRAUD, commands.PauseRelease(release=3))
    recorder.wait(600)
    recorder.send(FRAUD, commands.ResumeRelease(release=3, reason="the dashboards are quiet"))
    recorder.send(FRAUD, commands.StartRelease(environment="production", candidate=2))
    recorder.send(FRAUD, commands.RollBackRelease(release=4, reason="it was superseded for a reason"))
    recorder.send(
        FRAUD, commands.PromoteRelease(release=3, reason="the on-call engineer looked at it", from_pause=True)
    )
    _apply(recorder, FRAUD, 3)


def fell_back(recorder: Recorder) -> None:
    """A canary answers too late, pauses and falls back to no traffic. It is resumed, pauses again and is promoted."""
    _live_and_passed(recorder)
    _step(recorder, FRAUD, 2, 2, steps=2)
    slow = commands.PauseRelease(release=2, reason="still waiting for a verdict", at_fault=True, late_answers=True)
    recorder.send(FRAUD, slow)
    _apply(recorder, FRAUD, 2)
    recorder.send(FRAUD, commands.PauseRelease(release=2, reason="the team looks at it"))
    recorder.send(FRAUD, commands.ResumeRelease(release=2, reason="it has more cores"))
    _apply(recorder, FRAUD, 2)
    recorder.send(FRAUD, slow)
    recorder.send(FRAUD, commands.PromoteRelease(release=2, reason="known good", from_pause=True))
    _apply(recorder, FRAUD, 2)


def granted_and_revoked(recorder: Recorder) -> None:
    """Roles are granted, denied and revoked. A token is made, revoked, and made again under its name."""
    ada, ops, day_ms = "ada@example.org", "group:operations", 24 * 60 * MINUTE_MS
    recorder.send(
        ACCESS,
        commands.GrantRole(grant="ada", subject=ada, role=facts.ROLE_ADMINISTRATOR, models="*", environments="*"),
        commands.GrantRole(
            grant="ops", subject=ops, role=facts.ROLE_OPERATOR, models="team=risk", environments="production"
        ),
        commands.GrantRole(
            grant="not-fraud", subject=ops, role=facts.ROLE_OPERATOR, models="fraud-*", environments="*", deny=True
        ),
    )
    token = commands.CreateToken(
        token="ci",
        sha256="c1" * 32,
        role=facts.ROLE_PUBLISHER,
        models="fraud",
        environments="*",
        expire_time_ms=recorder.now_ms + 90 * day_ms,
        reason="the pipeline of fraud",
    )
    recorder.send(
        ACCESS,
        token,
        commands.RevokeRole(grant="not-fraud", reason="the audit is over"),
        commands.RevokeToken(token="ci", reason="it was printed"),
    )
    token.sha256, token.expire_time_ms = "c2" * 32, recorder.now_ms + 30 * day_ms
    recorder.send(ACCESS, token)


def approved_by_role(recorder: Recorder) -> None:
    """Production asks for an approver and an operator: two people approve a version, one of whom loses a role later."""
    grace, alan = "grace@example.org", "alan@example.org"
    bounds = {"models": "*", "environments": "*"}
    recorder.send(
        ACCESS,
        commands.GrantRole(grant="grace", subject=grace, role=facts.ROLE_APPROVER, **bounds),
        commands.GrantRole(grant="alan", subject=alan, role=facts.ROLE_APPROVER, **bounds),
        commands.GrantRole(
            grant="alan-too", subject=alan, role=facts.ROLE_OPERATOR, models="fraud*", environments="prod*"
        ),
    )
    asked = [facts.RoleCount(role=role, count=1) for role in (facts.ROLE_APPROVER, facts.ROLE_OPERATOR)]
    recorder.send(PRODUCTION, commands.SetPolicy(policy=POLICY, approvals=facts.ApprovalPolicy(roles=asked)))
    _pass(recorder, FRAUD, 1)
    for name in (grace, alan):
        recorder.send(FRAUD, commands.GrantApproval(version=1, reason="read it"), actor=name, proven=True)
    _release_directly(recorder, FRAUD, 1, 1)
    recorder.send(ACCESS, commands.RevokeRole(grant="grace", reason="left"))
    counts = facts.ApprovalPolicy(roles=asked[:1], author_counts=True)
    recorder.send(PRODUCTION, commands.SetPolicy(policy=POLICY, approvals=counts))
    recorder.send(PRODUCTION, commands.SetPolicy(policy=POLICY))


def approved_denied_and_waived(recorder: Recorder) -> None:
    """Two people approve one version and deny another; the failed gate of a third is waived."""
    _evaluate(recorder, FRAUD, 1, approvals=2)
    recorder.send(FRAUD, commands.DecideGate(version=1))
    recorder.send(FRAUD, commands.GrantApproval(version=1, reason="numbers are fine"), actor="ada@example.org")
    recorder.send(FRAUD, commands.GrantApproval(version=1), actor="grace@example.org")
    _evaluate(recorder, FRAUD, 2, approvals=1)
    recorder.send(FRAUD, commands.DecideGate(version=2), commands.DenyApproval(version=2, reason="biased"))
    _evaluate(recorder, FRAUD, 3, auc=0.85)
    recorder.send(
        FRAUD, commands.DecideGate(version=3), commands.WaiveGate(version=3, reason="the test set was broken")
    )
    _release_directly(recorder, FRAUD, 3, 1)
    _evaluate(recorder, FRAUD, 4, auc=0.5)
    recorder.send(FRAUD, commands.DecideGate(version=4))


def compared_again(recorder: Recorder) -> None:
    """A version is approved while nothing is live. Another goes live, so it is compared, judged and approved again."""
    _pass(recorder, FRAUD, 1)
    _evaluate(recorder, FRAUD, 2, approvals=1)
    recorder.send(FRAUD, commands.DecideGate(version=2), commands.GrantApproval(version=2))
    _release_directly(recorder, FRAUD, 1, 1)
    recorder.send(FRAUD, _evaluation(2, 4, "evaluator-0"), _measured(1, 2, attempt=4, auc=0.96))
    recorder.send(FRAUD, commands.DecideGate(version=2), commands.GrantApproval(version=2, reason="still better"))
    _release_directly(recorder, FRAUD, 2, 2)


def undone(recorder: Recorder) -> None:
    """A blue-green release completes and is undone by hand an hour later."""
    _live_and_passed(recorder)
    blue_green = configuration.STRATEGY_BLUE_GREEN
    recorder.send(FRAUD, commands.StartRelease(environment="production", candidate=2, strategy=blue_green))
    _promote(recorder, FRAUD, 2)
    recorder.wait(3600)
    recorder.send(FRAUD, commands.UndoRelease(release=2, reason="customers complain"))
    _promote(recorder, FRAUD, 3)


def quarantined(recorder: Recorder) -> None:
    """A gateway's reflex rolls a candidate back. People quarantine versions, and a waiting release is rejected."""
    _live_and_passed(recorder)
    _step(recorder, FRAUD, 2, 2, steps=1)
    cause = facts.ROLLBACK_CAUSE_REFLEX
    recorder.send(FRAUD, commands.RollBackRelease(release=2, cause=cause, reason="gateway-1 saw 9 of 10 fail"))
    _apply(recorder, FRAUD, 2)
    recorder.send(FRAUD, commands.FinishRollback(release=2))
    _pass(recorder, FRAUD, 3)
    recorder.send(FRAUD, commands.StartRelease(environment="production", candidate=3))
    recorder.send(FRAUD, commands.QuarantineCandidate(version=3, reason="trained on the wrong month"))
    recorder.send(FRAUD, commands.BeginRelease(release=3))
    recorder.send(FRAUD, commands.StartRelease(environment="production", candidate=3, override_quarantine=True))
    recorder.send(FRAUD, commands.BeginRelease(release=4))
    not_ready = facts.ROLLBACK_CAUSE_NOT_READY
    recorder.send(FRAUD, commands.RollBackRelease(release=4, cause=not_ready, reason="gateway-0 cannot load it"))
    _apply(recorder, FRAUD, 4)
    recorder.send(FRAUD, commands.FinishRollback(release=4))


def archived_and_purged(recorder: Recorder) -> None:
    """Versions that are no longer in use are archived, and one is purged. A tag is set and removed."""
    _live_and_passed(recorder)
    _pass(recorder, FRAUD, 3)
    recorder.send(FRAUD, commands.TagVersion(version=3, key="dataset", value="2026-01"))
    recorder.send(FRAUD, commands.TagVersion(version=3, key="dataset", value=""))
    recorder.send(FRAUD, commands.ArchiveVersion(version=2, reason="older than a year"))
    recorder.send(
        FRAUD, commands.ArchiveVersion(version=3), commands.PurgeVersion(version=3, reason="a customer's wish")
    )


def leases_lost(recorder: Recorder) -> None:
    """Workers die and others take over: an attempt continues from a checkpoint, and builds fail in each stage."""
    recorder.send(FRAUD, commands.CreateVersion(repository=REPOSITORY, commit=commit(1), commit_message="first"))
    recorder.send(FRAUD, _claim(1, 1, "trainer-0"), _tested(1, 1), _training(1, 1))
    recorder.wait(120)
    takeover = _claim(1, 2, "trainer-1")
    takeover.predecessor_seen_at_ms = recorder.now_ms - LEASE_MS
    recorder.send(FRAUD, takeover, _tested(1, 2), _training(1, 2))
    finished = _trained(1, 2)
    finished.fact.resumed_from_epoch, finished.fact.resumed_from_attempt = 40, 1
    recorder.send(FRAUD, finished, _evaluation(1, 1, "evaluator-0"))
    recorder.wait(120)
    recorder.send(FRAUD, _evaluation(1, 2, "evaluator-1"))
    recorder.send(
        FRAUD, commands.ReportEvaluationFailed(fact=facts.EvaluationFailed(version=1, attempt=2, reason="no rows"))
    )
    recorder.send(FRAUD, commands.CreateVersion(repository=REPOSITORY, commit=commit(2)), _claim(2, 1, "trainer-0"))
    broken = facts.CodeTested(version=2, attempt=1, passed=False, exit_code=1, duration_ms=900, log_tail="1 failed")
    recorder.send(FRAUD, commands.ReportCodeTested(fact=broken))
    recorder.send(FRAUD, commands.CreateVersion(repository=REPOSITORY, commit=commit(3)), _claim(3, 1, "trainer-0"))
    recorder.send(FRAUD, _tested(3, 1), _training(3, 1))
    failure = facts.TrainingFailed(version=3, attempt=1, stage=facts.STAGE_TRAINING, reason="loss is nan", log_tail="…")
    recorder.send(FRAUD, commands.ReportTrainingFailed(fact=failure))


def cancelled(recorder: Recorder) -> None:
    """People cancel versions: one that waits, one whose tests hang, and one that is evaluated."""
    recorder.send(FRAUD, commands.CreateVersion(repository=REPOSITORY, commit=commit(1)))
    recorder.send(FRAUD, commands.CancelVersion(version=1, reason="the wrong branch"))
    recorder.send(FRAUD, commands.CreateVersion(repository=REPOSITORY, commit=commit(2)), _claim(2, 1, "trainer-0"))
    recorder.send(FRAUD, commands.CancelVersion(version=2, reason="the tests hang"))
    recorder.send(FRAUD, commands.CreateVersion(repository=REPOSITORY, commit=commit(3)), _claim(3, 1, "trainer-0"))
    recorder.send(FRAUD, _tested(3, 1), _training(3, 1), _trained(3, 1), _evaluation(3, 1, "evaluator-0"))
    recorder.send(FRAUD, commands.CancelVersion(version=3, reason="the data were of last year"))
    recorder.send(FRAUD, commands.ArchiveVersion(version=3), commands.PurgeVersion(version=3, reason="the same"))


def signed(recorder: Recorder) -> None:
    """The trainer stores the files of a version, and the registry signs them before the version is evaluated."""
    recorder.send(FRAUD, commands.CreateVersion(repository=REPOSITORY, commit=commit(1)), _claim(1, 1, "trainer-0"))
    stored = _trained(1, 1)
    stored.fact.artifact.manifest_sha256 = ""
    recorder.send(FRAUD, _tested(1, 1), _training(1, 1), stored)
    fact = facts.ArtifactSigned(
        version=1, attempt=1, manifest_sha256="01" * 32, signed_by="ab" * 32, signed_at_ms=1_770_000_000_000
    )
    recorder.send(FRAUD, commands.ReportArtifactSigned(fact=fact), _evaluation(1, 1, "evaluator-0"))
    recorder.send(FRAUD, _measured(0, 1, attempt=1, auc=0.95), commands.DecideGate(version=1))


def failed_stages(recorder: Recorder) -> None:
    """Attempts fail before the tests and at the export: each is labelled by its stage."""
    stages = (facts.STAGE_CHECKOUT, facts.STAGE_CONFIGURATION, facts.STAGE_DATA, facts.STAGE_PACKAGES)
    for number, stage in enumerate(stages, start=1):
        recorder.send(FRAUD, commands.CreateVersion(repository=REPOSITORY, commit=commit(number)))
        recorder.send(FRAUD, _claim(number, 1, "trainer-0"), _broken(number, stage))
    recorder.send(FRAUD, commands.CreateVersion(repository=REPOSITORY, commit=commit(5)), _claim(5, 1, "trainer-0"))
    recorder.send(FRAUD, _tested(5, 1), _training(5, 1), _broken(5, facts.STAGE_EXPORT))


def void_and_forged(recorder: Recorder) -> None:
    """Records that lost a race, foreign bytes, a forked chain, and an illegal fact that stops its stream alone."""
    recorder.send(FRAUD, commands.CreateModel(description="card payments", repository=REPOSITORY))
    late = recorder.next_record(FRAUD, facts.ModelDescribed(description="of a second registry, a moment too late"))
    recorder.send(FRAUD, commands.DescribeModel(description="of the first registry"))
    recorder.append(late)
    recorder.append_bytes(FRAUD, b"\xff\xfe not a record")
    fork = recorder.next_record(FRAUD, facts.ModelDescribed(description="behind another head"))
    fork.previous_digest = b"\x00" * 32
    recorder.append(fork)
    ahead = recorder.next_record(FRAUD, facts.ModelDescribed(description="of a later sequence"))
    ahead.sequence += 5
    recorder.append(ahead)
    stray = recorder.next_record(FRAUD, facts.ModelDescribed(description="of no stream"))
    stray.stream = "things/fraud"
    recorder.append(stray)
    recorder.send(CHURN, commands.CreateVersion(repository=REPOSITORY, commit=commit(1)))
    recorder.append(recorder.next_record(CHURN, facts.GateWaived(version=1, reason="forged")))
    recorder.append(recorder.next_record(CHURN, facts.VersionTagged(version=1, key="too", value="late")))
    recorder.send(FRAUD, commands.CreateVersion(repository=REPOSITORY, commit=commit(1)))


def newer_registry(recorder: Recorder) -> None:
    """A newer minor version wrote facts and fields that this one does not know: they are accepted and ignored."""
    _evaluate(recorder, FRAUD, 1)
    later = recorder.next_record(FRAUD, facts.ModelDescribed())
    later.ClearField("model_described")
    recorder.append(later, unknown=b"\xd2\x3e\x02hi")  # field 1002 of the record, a fact that came later
    known = recorder.next_record(FRAUD, facts.VersionTagged(version=1, key="dataset", value="2026-01"))
    recorder.append(known, unknown=b"\xda\x3e\x02yo")  # field 1003 of the record, beside a fact that is known
    recorder.send(FRAUD, commands.DecideGate(version=1))
    policy = configuration.ReleasePolicy.FromString(POLICY.SerializeToString() + b"\xe0\x3e\x07")  # field 1004 within
    recorder.append(recorder.next_record(PRODUCTION, facts.PolicySet(policy=policy, policy_sha256="ab" * 32)))
    recorder.send(FRAUD, commands.StartRelease(environment="production", candidate=1))


def older_registry(recorder: Recorder) -> None:
    """Facts of the first versions: one actor approves twice, and an override of a quarantine has no field for it."""
    _evaluate(recorder, FRAUD, 1, approvals=2)
    recorder.send(FRAUD, commands.DecideGate(version=1))
    for _ in range(2):
        recorder.append(recorder.next_record(FRAUD, facts.ApprovalGranted(version=1), actor=""))
    recorder.send(FRAUD, commands.QuarantineCandidate(version=1))
    override = facts.ReleaseRequested(
        release=1,
        environment="production",
        candidate=1,
        strategy=configuration.STRATEGY_DIRECT,
        policy=POLICY,
        salt="s",
    )
    recorder.append(recorder.next_record(FRAUD, override))
    recorder.send(FRAUD, commands.BeginRelease(release=1))


STORIES: Mapping[str, Callable[[Recorder], None]] = {
    story.__name__: story
    for story in (
        canary_promoted,
        repositories_declared,
        rolled_back_by_verdict,
        frozen_and_paused,
        fell_back,
        approved_denied_and_waived,
        approved_by_role,
        granted_and_revoked,
        compared_again,
        undone,
        quarantined,
        archived_and_purged,
        leases_lost,
        cancelled,
        signed,
        failed_stages,
        void_and_forged,
        newer_registry,
        older_registry,
    )
}


# Parts of several stories


def _evaluate(recorder: Recorder, stream: str, number: int, *, auc: float = 0.95, approvals: int = 0) -> None:
    """A version, from its commit to its evaluation, which compares it with the live version."""
    recorder.send(
        stream, commands.CreateVersion(repository=REPOSITORY, commit=commit(number), commit_message=f"try {number}")
    )
    recorder.send(stream, _claim(number, 1, "trainer-0"), _tested(number, 1, approvals), _training(number, 1))
    recorder.send(stream, _trained(number, 1), _evaluation(number, 1, "evaluator-0"))
    recorder.send(stream, _measured(recorder.live(stream), number, attempt=1, auc=auc))


def _measured(live: int, number: int, attempt: int, auc: float) -> commands.ReportEvaluationFinished:
    fact = facts.EvaluationFinished(version=number, attempt=attempt, report=report(auc))
    if live:
        fact.baseline_version = live
        fact.baseline_report.CopyFrom(report(0.95))
    return commands.ReportEvaluationFinished(fact=fact)


def _pass(recorder: Recorder, stream: str, number: int) -> None:
    _evaluate(recorder, stream, number)
    recorder.send(stream, commands.DecideGate(version=number))


def _live_and_passed(recorder: Recorder) -> None:
    """Version 1 is live in production, version 2 has passed its gate."""
    _pass(recorder, FRAUD, 1)
    _release_directly(recorder, FRAUD, 1, 1)
    _pass(recorder, FRAUD, 2)


def _release_directly(recorder: Recorder, stream: str, candidate: int, release: int) -> None:
    direct = configuration.STRATEGY_DIRECT
    recorder.send(
        stream, commands.StartRelease(environment="production", candidate=candidate, strategy=direct, policy=POLICY)
    )
    _promote(recorder, stream, release)


def _promote(recorder: Recorder, stream: str, release: int) -> None:
    """A release without steps, from its queue to its end."""
    recorder.send(stream, commands.BeginRelease(release=release))
    recorder.send(stream, commands.ReportCandidateReady(release=release, gateways=GATEWAYS))
    recorder.send(stream, commands.PromoteRelease(release=release))
    _apply(recorder, stream, release)
    recorder.send(stream, commands.CompleteRelease(release=release))


def _step(recorder: Recorder, stream: str, candidate: int, release: int, steps: int) -> None:
    """A canary, up to this many steps."""
    recorder.send(stream, commands.StartRelease(environment="production", candidate=candidate, policy=POLICY))
    recorder.send(stream, commands.BeginRelease(release=release))
    recorder.send(stream, commands.ReportCandidateReady(release=release, gateways=GATEWAYS))
    for step in range(steps):
        judgement = _judgement(facts.VERDICT_INCONCLUSIVE, 500) if step else None
        recorder.send(stream, commands.SetWeights(release=release, step=step, judgement=judgement))
        _apply(recorder, stream, release)
        recorder.wait(60)


def _apply(recorder: Recorder, stream: str, release: int) -> None:
    epoch = recorder.release(stream, release).epoch
    recorder.send(stream, commands.ReportWeightsApplied(release=release, epoch=epoch, gateways=GATEWAYS))


def _judgement(verdict: facts.Verdict.ValueType, weight_bps: int) -> facts.Judgement:
    stratum = facts.Stratum(
        epoch=12,
        candidate_weight_bps=weight_bps,
        candidate_keys=640,
        candidate_bad_keys=9,
        stable_keys=610,
        stable_bad_keys=4,
        candidate_first_bad_keys=8,
        stable_first_bad_keys=4,
    )
    return facts.Judgement(
        verdict=verdict,
        strata=[stratum],
        fail_e_value=1.25,
        fail_threshold=100.0,
        pass_e_value=21.5,
        pass_threshold=20.0,
        explanation="as recorded",
    )


def _claim(number: int, attempt: int, worker: str) -> commands.StartTesting:
    return commands.StartTesting(version=number, attempt=attempt, worker=worker, lease_ms=LEASE_MS)


def _broken(number: int, stage: facts.Stage.ValueType) -> commands.ReportTrainingFailed:
    reason = f"what broke at {facts.Stage.Name(stage)}"
    return commands.ReportTrainingFailed(
        fact=facts.TrainingFailed(version=number, attempt=1, stage=stage, reason=reason, log_tail="...")
    )


def _tested(number: int, attempt: int, approvals: int = 0) -> commands.ReportCodeTested:
    rule = configuration.GateRule(metric="auc", min=0.9, max_drop=0.02)
    declared = configuration.ModelConfiguration(
        model="fraud",
        task="binary",
        data=[configuration.DataFile(name="transactions", uri="data.csv", sha256="cd" * 32)],
        train=configuration.TrainConfiguration(loss="bce", optimizer="adam", learning_rate=0.05, epochs=100, seed=7),
        gate=configuration.GatePolicy(rules=[rule], approvals=approvals),
    )
    fact = facts.CodeTested(version=number, attempt=attempt, passed=True, duration_ms=1200, configuration=declared)
    return commands.ReportCodeTested(fact=fact)


def _training(number: int, attempt: int) -> commands.ReportTrainingStarted:
    environment = {"torch": "2.13.0", "threads": "1", "python": "3.11.9"}
    fact = facts.TrainingStarted(version=number, attempt=attempt, environment=environment)
    return commands.ReportTrainingStarted(fact=fact)


def _trained(number: int, attempt: int) -> commands.ReportTrainingFinished:
    files = [facts.ArtifactFile(name="model.onnx", sha256="ef" * 32, size_bytes=2048)]
    artifact = facts.Artifact(manifest_sha256=f"{number:02x}" * 32, files=files)
    fact = facts.TrainingFinished(version=number, attempt=attempt, artifact=artifact, epochs=100, train_loss=0.125)
    return commands.ReportTrainingFinished(fact=fact)


def _evaluation(number: int, attempt: int, worker: str) -> commands.StartEvaluation:
    return commands.StartEvaluation(version=number, attempt=attempt, worker=worker, lease_ms=LEASE_MS)
