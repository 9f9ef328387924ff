"""One short line for each fact, for people who follow the life of a model."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from headgate.domain.names import short_name
from headgate.domain.weights import percent_of
from headgate.domain.words import counted, hyphenated, word_of
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts

SHOWN_KEY_ID = 12


def describe(record: facts.LifecycleRecord) -> str:
    """The fact of a record in a few words, without its stream."""
    kind = record.WhichOneof("fact")
    if kind is None:
        return "a kind of fact that this program does not know"
    fact = getattr(record, kind)
    if kind in _DESCRIPTIONS:
        return _DESCRIPTIONS[kind](fact)
    return _by_name(kind, fact)


def metrics_line(metrics: Sequence[facts.Metric]) -> str:
    return "  ".join(f"{metric.name} {metric.value:.4f}" for metric in metrics)


def interval_line(metric: facts.Metric) -> str:
    """The metric with the ends of its confidence interval, where it has one."""
    ends = f" [{metric.interval.low:.4f}, {metric.interval.high:.4f}]" if metric.HasField("interval") else ""
    return metrics_line([metric]) + ends


def no_interval_lines(report: facts.EvaluationReport) -> list[str]:
    """A sentence for each metric that has a value and no confidence interval."""
    return [f"{metric.name} has no interval: {metric.no_interval}" for metric in report.metrics if metric.no_interval]


def undefined_lines(report: facts.EvaluationReport) -> list[str]:
    """A sentence for each metric that has no value on the rows."""
    return [f"{metric.name} is undefined: {metric.reason}" for metric in report.undefined]


def report_line(report: facts.EvaluationReport | facts.SliceReport) -> str:
    """The metrics in one line; of the undefined ones only the names."""
    undefined = ", ".join(metric.name for metric in report.undefined)
    return "  ".join(filter(None, (metrics_line(report.metrics), undefined and f"undefined: {undefined}")))


def weights_line(weights: Sequence[facts.Weight]) -> str:
    return ", ".join(f"v{weight.version} {percent_of(weight.weight_bps)}" for weight in weights)


def subject(record: facts.LifecycleRecord) -> str:
    """The short name of the record's stream: `fraud` for `models/fraud`."""
    return short_name(record.stream)


def _by_name(kind: str, fact: Any) -> str:
    version = getattr(fact, "version", 0)
    release = getattr(fact, "release", 0)
    prefixes = ("version_", "candidate_") if version else ("release_",) if release else ()
    prefix = next(filter(kind.startswith, prefixes), "")
    words = kind.removeprefix(prefix).replace("_", " ")
    reason = getattr(fact, "reason", "")
    subject = f"v{version} " if version else f"release {release} " if release else ""
    return f"{subject}{words}" + (f": {reason}" if reason else "")


def _created(fact: facts.VersionCreated) -> str:
    message = fact.commit_message.partition("\n")[0]
    data = "".join(f" with new data in {each.uri}" for each in fact.updated_data)
    source = f" from {fact.commit[:10]}" if fact.commit else ""
    return f"v{fact.version} created{source}{data}" + (f": {message}" if message else "")


def _code_tested(fact: facts.CodeTested) -> str:
    verdict = "its tests pass" if fact.passed else f"its tests fail ({fact.reason or f'exit {fact.exit_code}'})"
    return f"v{fact.version} {verdict}, {fact.duration_ms / 1000:.1f} s"


def _training_finished(fact: facts.TrainingFinished) -> str:
    resumed = f"from epoch {fact.resumed_from_epoch} of attempt {fact.resumed_from_attempt} on, "
    return (
        f"v{fact.version} trained: {counted(fact.epochs, 'epoch')}, {resumed if fact.resumed_from_epoch else ''}"
        f"{fact.duration_ms / 1000:.1f} s, "
        f"validation loss {fact.validation_loss:.4f}, artifact {fact.artifact.manifest_sha256[:12]}"
    )


def _training_failed(fact: facts.TrainingFailed) -> str:
    stage = word_of(facts.Stage, fact.stage)
    return f"v{fact.version} failed at {stage}: {fact.reason}"


def _evaluation_finished(fact: facts.EvaluationFinished) -> str:
    live = f"version {fact.baseline_version}, which is live"
    not_measured = f"{live}, cannot be measured: {fact.baseline_failure}" if fact.baseline_failure else ""
    measured = f"v{fact.version} measured: {metrics_line(fact.report.metrics)}"
    parts = (measured, *undefined_lines(fact.report), fact.signature_change, not_measured)
    return "; ".join(part for part in parts if part)


def _gate_decided(fact: facts.GateDecided) -> str:
    if fact.passed:
        return f"v{fact.version} passes the gate"
    missed = "; ".join(result.explanation for result in fact.results if not result.passed)
    return f"v{fact.version} REFUSED by the gate: {missed}"


def _requested(fact: facts.ReleaseRequested) -> str:
    strategy = hyphenated(configuration.Strategy, fact.strategy)
    undo = f", undo of release {fact.undo_of}" if fact.undo_of else ""
    return f"release {fact.release} requested: v{fact.candidate} into {fact.environment}, {strategy}{undo}"


def _started(fact: facts.ReleaseStarted) -> str:
    return f"release {fact.release} started" + (f", stable is v{fact.stable}" if fact.stable else ", nothing live yet")


def _weights_set(fact: facts.WeightsSet) -> str:
    return f"release {fact.release} step {fact.step + 1}: {weights_line(fact.weights)}"


def _promotion(fact: facts.PromotionStarted) -> str:
    because = fact.reason or fact.judgement.explanation
    return f"release {fact.release} promotes: {weights_line(fact.weights)}" + (f" ({because})" if because else "")


def _paused(fact: facts.ReleasePaused) -> str:
    weights = f"; meanwhile {weights_line(fact.weights)}" if fact.weights else ""
    return f"release {fact.release} paused: {fact.reason}{weights}"


def _resumed(fact: facts.ReleaseResumed) -> str:
    because = f": {fact.reason}" if fact.reason else ""
    return f"release {fact.release} resumed{because}" + (f"; {weights_line(fact.weights)}" if fact.weights else "")


def _rollback(fact: facts.RollbackStarted) -> str:
    cause = word_of(facts.RollbackCause, fact.cause)
    because = fact.judgement.explanation or fact.reason
    return f"release {fact.release} ROLLS BACK ({cause})" + (f": {because}" if because else "")


def _labelled(fact: facts.ModelLabelled) -> str:
    return f"label {fact.key} set to {fact.value}" if fact.value else f"label {fact.key} removed"


def _tagged(fact: facts.VersionTagged) -> str:
    change = f"set to {fact.value}" if fact.value else "removed"
    return f"v{fact.version} tag {fact.key} {change}"


def _freeze(fact: facts.FreezeDeclared | facts.FreezeLifted, change: str) -> str:
    return f"freeze {fact.freeze} {change}" + (f": {fact.reason}" if fact.reason else "")


_DESCRIPTIONS: Mapping[str, Callable[[Any], str]] = {
    "version_created": _created,
    "testing_started": lambda fact: f"v{fact.version} claimed by {fact.worker}",
    "code_tested": _code_tested,
    "training_finished": _training_finished,
    "training_failed": _training_failed,
    "evaluation_started": lambda fact: f"v{fact.version} being evaluated by {fact.worker}",
    "evaluation_finished": _evaluation_finished,
    "artifact_signed": lambda fact: f"v{fact.version} signed with the key {fact.signed_by[:SHOWN_KEY_ID]}",
    "version_cancelled": lambda fact: f"v{fact.version} cancelled: {fact.reason}",
    "gate_decided": _gate_decided,
    "release_requested": _requested,
    "release_started": _started,
    "candidate_ready": lambda fact: f"release {fact.release}: candidate loaded by {', '.join(fact.gateways)}",
    "weights_set": _weights_set,
    "weights_applied": lambda fact: f"release {fact.release}: weights in force at {', '.join(fact.gateways)}",
    "promotion_started": _promotion,
    "release_paused": _paused,
    "release_resumed": _resumed,
    "release_completed": lambda fact: f"release {fact.release} COMPLETED" + (f": {fact.reason}" if fact.reason else ""),
    "rollback_started": _rollback,
    "release_rolled_back": lambda fact: f"release {fact.release} ROLLED BACK",
    "alias_moved": lambda fact: f"alias {fact.alias} names v{fact.version}",
    "alias_removed": lambda fact: f"alias {fact.alias} removed",
    "version_tagged": _tagged,
    "model_labelled": _labelled,
    "repository_added": lambda fact: f"commits on {fact.branch} of {fact.repository} become versions",
    "repository_removed": lambda fact: f"commits of {fact.repository} become no versions any more",
    "freeze_declared": lambda fact: _freeze(fact, "declared"),
    "freeze_lifted": lambda fact: _freeze(fact, "lifted"),
    "policy_set": lambda fact: f"release policy set ({fact.policy_sha256[:12]})",
}
"""Facts with a description of their own. `_by_name` describes the others by name, number and reason."""
