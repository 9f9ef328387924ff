"""Declares every metric of Headgate once. Tests compare instruments, dashboards and alert rules with this list.

Counters and histograms measure what happened since the process started, and never count a replayed fact. Every replica
counts what it reads from the log (facts, verdicts, release events). So queries take the maximum over the replicas of
such a metric, not the sum. Gauges show the present state.
"""

from headgate.runtime.observability.edge_metrics import EDGE
from headgate.runtime.observability.gateway_metrics import OF_GATEWAY
from headgate.runtime.observability.metric import (
    DEPLOYER,
    EVALUATOR,
    EVERY,
    GATEWAY,
    REGISTRY,
    TRAINER,
    WORKERS,
    Metric,
    Overflow,
)

RPC_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
FOLD_SECONDS = (0.0001, 0.001, 0.01, 0.1)
AGE_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0)
COMMAND_SECONDS = (0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
WORK_SECONDS = (1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 1800.0, 3600.0, 7200.0)
DELIVERY_SECONDS = (60.0, 300.0, 900.0, 3600.0, 7200.0, 14400.0, 43200.0, 86400.0, 604800.0)
RESTORE_SECONDS = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0)

_PROCESS = (
    Metric("headgate_build_info", "gauge", EVERY, "Always 1; the version that runs.", ("service", "version", "python")),
    Metric("headgate_ready", "gauge", EVERY, "1 while the process takes work, like /readyz."),
    Metric(
        "headgate_rpc_requests_total",
        "counter",
        EVERY,
        "Calls answered, by status code.",
        ("rpc_service", "method", "code"),
        cap=40,
        larger_caps=((REGISTRY, 120), (GATEWAY, 60)),
    ),
    Metric(
        "headgate_access_refusals_total",
        "counter",
        EVERY,
        "Calls refused because their caller has not proven who it is, or may not make them, by the reason.",
        ("why",),
        cap=24,
    ),
    Metric(
        "headgate_rpc_duration_seconds",
        "histogram",
        EVERY,
        "From a call's arrival to its end.",
        ("rpc_service", "method"),
        cap=12,
        larger_caps=((REGISTRY, 52), (GATEWAY, 15)),
        buckets=RPC_SECONDS,
    ),
    Metric("headgate_facts_total", "counter", EVERY, "Facts folded after the replay.", ("fact",), cap=49),
    Metric("headgate_fact_errors_total", "counter", EVERY, "Live facts that stopped their stream.", ("fact",), cap=16),
    Metric(
        "headgate_fact_duration_seconds",
        "histogram",
        EVERY,
        "Time to fold one live fact.",
        ("fact",),
        cap=44,
        larger_caps=((REGISTRY, 52),),
        buckets=FOLD_SECONDS,
    ),
    Metric(
        "headgate_fact_age_seconds",
        "histogram",
        EVERY,
        "Time from a live fact's occurrence until this process folded it.",
        buckets=AGE_SECONDS,
    ),
    Metric(
        "headgate_log_lag_records", "gauge", EVERY, "Records of the topic not read yet.", ("topic", "reader"), cap=8
    ),
    Metric(
        "headgate_log_lag_seconds",
        "gauge",
        EVERY,
        "Age of the oldest record not read yet; 0 without one.",
        ("topic", "reader"),
        cap=8,
        overflow=Overflow.LARGEST,
    ),
    Metric("headgate_void_records_total", "counter", EVERY, "Live records that did not follow their stream's head."),
    Metric("headgate_streams_stopped", "gauge", EVERY, "Streams whose fold stopped at an illegal fact."),
    Metric(
        "headgate_dead_letters_total",
        "counter",
        (REGISTRY, *WORKERS),
        "Records and work buried by this process.",
        ("topic", "code"),
        cap=32,
    ),
    Metric(
        "headgate_clock_skew_seconds",
        "gauge",
        EVERY,
        "The clock of the host less the log's time; positive when the host is ahead.",
    ),
    Metric("headgate_log_errors_total", "counter", EVERY, "How often a reader lost the log, or an append failed."),
    Metric("headgate_invalid_trace_parents_total", "counter", EVERY, "Invalid traceparent headers, which are ignored."),
    Metric("headgate_work_in_hand", "gauge", WORKERS, "Pieces of work in progress."),
    Metric(
        "headgate_undecidable",
        "gauge",
        (*WORKERS, GATEWAY),
        "Models, releases and versions about which an error keeps this process from deciding.",
    ),
    Metric("headgate_work_total", "counter", WORKERS, "Work ended: done, failed or given-up.", ("outcome",), cap=4),
)

_REGISTRY = (
    Metric(
        "headgate_commands_total",
        "counter",
        (REGISTRY,),
        "Commands executed: accepted, held, repeated, refused or failed.",
        ("command", "outcome"),
        cap=120,
    ),
    Metric(
        "headgate_command_duration_seconds",
        "histogram",
        (REGISTRY,),
        "From a command to its outcome.",
        ("command",),
        cap=52,
        buckets=COMMAND_SECONDS,
    ),
    Metric("headgate_refusals_total", "counter", (REGISTRY,), "Commands refused, by code.", ("code",), cap=16),
    Metric("headgate_view_up", "gauge", (REGISTRY,), "Whether the Redis view answers; absent without HEADGATE_REDIS."),
    Metric("headgate_view_lag_records", "gauge", (REGISTRY,), "Accepted facts that the view does not reflect yet."),
    Metric(
        "headgate_view_lag_seconds",
        "gauge",
        (REGISTRY,),
        "Age of the oldest fact that the view does not reflect yet; 0 without one.",
    ),
    Metric(
        "headgate_view_rebuilds_total", "counter", (REGISTRY,), "Rebuilds of the view from the log.", ("reason",), cap=8
    ),
    Metric(
        "headgate_view_reads_total",
        "counter",
        (REGISTRY,),
        "Lists, by the source that answered: view, fold, or past for a moment in the past.",
        ("source",),
        cap=4,
    ),
    Metric("headgate_rate_limited_total", "counter", (REGISTRY,), "Requests over the limit.", ("door",), cap=8),
)

_TRAINER = (
    Metric(
        "headgate_training_duration_seconds",
        "histogram",
        (TRAINER,),
        "From an attempt's start to its report.",
        ("outcome",),
        cap=4,
        buckets=WORK_SECONDS,
    ),
    Metric(
        "headgate_failed_attempts_total",
        "counter",
        (TRAINER,),
        "Attempts that failed, by the stage: checkout, configuration, data, packages, tests, training or export.",
        ("stage",),
        cap=10,
    ),
    Metric("headgate_training_epochs_total", "counter", (TRAINER,), "Epochs measured."),
    Metric(
        "headgate_training_loss",
        "gauge",
        (TRAINER,),
        "Loss of the last epoch measured: train or validation.",
        ("model", "kind"),
        cap=200,
        overflow=Overflow.LARGEST,
    ),
    Metric("headgate_purged_bytes_total", "counter", (TRAINER,), "Bytes of purged versions that were deleted."),
    Metric(
        "headgate_unused_upload_bytes_total",
        "counter",
        (TRAINER,),
        "Bytes of uploads without a version that were deleted.",
    ),
    Metric("headgate_purge_failures_total", "counter", (TRAINER,), "Deletions that failed and are tried again."),
)

_EVALUATOR = (
    Metric(
        "headgate_evaluation_duration_seconds",
        "histogram",
        (EVALUATOR,),
        "From an evaluation's start to its report.",
        ("outcome",),
        cap=4,
        buckets=WORK_SECONDS,
    ),
    Metric(
        "headgate_gate_verdicts_total",
        "counter",
        (EVALUATOR,),
        "The gate's verdicts: passed or failed.",
        ("verdict",),
        cap=4,
    ),
)

_DEPLOYER = (
    Metric(
        "headgate_releases",
        "gauge",
        (DEPLOYER,),
        "Releases by phase, ended ones included.",
        ("environment", "phase"),
        cap=50,
    ),
    Metric(
        "headgate_release_active",
        "gauge",
        (DEPLOYER,),
        "1 while a release of the model is in this phase.",
        ("environment", "model", "phase"),
        cap=100,
    ),
    Metric(
        "headgate_release_weight_wanted_ratio",
        "gauge",
        (DEPLOYER,),
        "Share of the traffic that the log gives the arm.",
        ("environment", "model", "arm"),
        cap=100,
        overflow=Overflow.LARGEST,
    ),
    Metric(
        "headgate_release_weight_observed_ratio",
        "gauge",
        (DEPLOYER,),
        "Share of the requests that the arm answered at this weight.",
        ("environment", "model", "arm"),
        cap=100,
        overflow=Overflow.LARGEST,
    ),
    Metric(
        "headgate_release_events_total",
        "counter",
        (DEPLOYER,),
        "Release facts, by name.",
        ("environment", "model", "event"),
        cap=250,
    ),
    Metric(
        "headgate_release_step_seconds",
        "gauge",
        (DEPLOYER,),
        "How long the release has been in its step or phase.",
        ("environment", "model"),
        cap=60,
        overflow=Overflow.LARGEST,
    ),
    Metric(
        "headgate_judge_verdicts_total",
        "counter",
        (DEPLOYER,),
        "Verdicts of the judge on which a release moved: pass, fail or inconclusive.",
        ("environment", "verdict"),
        cap=24,
    ),
    Metric(
        "headgate_judge_e_value",
        "gauge",
        (DEPLOYER,),
        "Evidence that the candidate is worse (fail) or good enough (pass).",
        ("environment", "model", "side"),
        cap=80,
        overflow=Overflow.LARGEST,
    ),
    Metric(
        "headgate_judge_threshold",
        "gauge",
        (DEPLOYER,),
        "The e-value at which the verdict is reached.",
        ("environment", "model", "side"),
        cap=80,
        overflow=Overflow.LARGEST,
    ),
    Metric(
        "headgate_version_live_info",
        "gauge",
        (DEPLOYER,),
        "Always 1; the version that is live.",
        ("environment", "model", "version"),
        cap=160,
    ),
    Metric(
        "headgate_live_metric",
        "gauge",
        (DEPLOYER,),
        "A metric of the live version, as evaluated.",
        ("environment", "model", "metric"),
        cap=160,
        overflow=Overflow.LARGEST,
    ),
    Metric(
        "headgate_candidate_metric",
        "gauge",
        (DEPLOYER,),
        "A metric of a release's candidate, as evaluated.",
        ("environment", "model", "metric"),
        cap=80,
        overflow=Overflow.LARGEST,
    ),
    Metric(
        "headgate_gateways_live", "gauge", (DEPLOYER,), "Gateways that reported recently.", ("environment",), cap=16
    ),
    Metric(
        "headgate_lead_time_seconds",
        "histogram",
        (DEPLOYER,),
        "From a commit's arrival to the end of the release that made it live.",
        buckets=DELIVERY_SECONDS,
    ),
    Metric(
        "headgate_time_to_restore_seconds",
        "histogram",
        (DEPLOYER,),
        "From a rollback's start to stable serving everywhere.",
        buckets=RESTORE_SECONDS,
    ),
)

CATALOGUE = _PROCESS + _REGISTRY + _TRAINER + _EVALUATOR + _DEPLOYER + OF_GATEWAY + EDGE


def metrics_of(service: str) -> tuple[Metric, ...]:
    """The metrics of one service."""
    return tuple(metric for metric in CATALOGUE if service in metric.services)
