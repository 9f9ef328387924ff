"""Quality: are the versions good, as evaluated, in training and for callers?"""

from k8s.monitoring.dashboards.needs import Needs
from k8s.monitoring.dashboards.page import Page, Row
from k8s.monitoring.dashboards.panels import AMBER, ARMS, BLUE, RED, Graph, Listing, Number, Query
from k8s.monitoring.dashboards.promql import DEPLOYER, MODEL, RELEASED, count, rate, share, typical

TRAINER = 'job="headgate", service="trainer"'
EVALUATOR = 'job="headgate", service="evaluator"'
VERDICTS = count("headgate_gate_verdicts_total", "verdict", EVALUATOR, many="max")
REFUSED_VERSIONS = count("headgate_gate_verdicts_total", "", f'{EVALUATOR}, verdict="failed"', many="max")
ALL_VERSIONS = f"sum({VERDICTS})"

VERSIONS = Row(
    "Versions, as evaluated",
    (
        Listing(
            "Live versions",
            "The metrics of the versions that serve now, from their own evaluation on held-out rows.",
            f"max by (environment, model, metric) (headgate_live_metric{{{RELEASED}}})",
            {"model": "Model", "environment": "Environment", "metric": "Metric"},
            value="Value",
            decimals=4,
            width=8,
            needs=Needs.COMPLETED,
        ),
        Listing(
            "Candidates",
            "The metrics of the versions that are being released. Empty without a release.",
            f"max by (environment, model, metric) (headgate_candidate_metric{{{RELEASED}}})",
            {"model": "Model", "environment": "Environment", "metric": "Metric"},
            value="Value",
            decimals=4,
            width=8,
            needs=Needs.RELEASE,
        ),
        Listing(
            "Candidate minus live",
            "Below 0 the candidate is worse, although the gate let it pass: check max_drop in its gate.",
            f"max by (environment, model, metric) (headgate_candidate_metric{{{RELEASED}}})"
            f" - max by (environment, model, metric) (headgate_live_metric{{{RELEASED}}})",
            {"model": "Model", "environment": "Environment", "metric": "Metric"},
            value="Difference",
            decimals=4,
            width=8,
            needs=Needs.RELEASE,
        ),
        Graph(
            "Live version over time",
            "Each step is a release. If a metric falls with every release, the gate allows too much: make it stricter.",
            (
                Query(
                    f"max by (environment, model, metric) (headgate_live_metric{{{RELEASED}}})",
                    "{{model}} {{metric}}",
                ),
            ),
            "none",
            width=12,
            stepped=True,
            needs=Needs.COMPLETED,
        ),
        Graph(
            "Candidate over time",
            "The metrics of each candidate during its release.",
            (
                Query(
                    f"max by (environment, model, metric) (headgate_candidate_metric{{{RELEASED}}})",
                    "{{model}} {{metric}}",
                ),
            ),
            "none",
            width=12,
            stepped=True,
            needs=Needs.RELEASE_SEEN,
        ),
    ),
)

GATE = Row(
    "Verdicts in the chosen time",
    (
        Number(
            "Gate",
            "Versions that passed their gate and that failed it. `headgate version get` shows by how much one failed.",
            (Query(VERDICTS, "{{verdict}}"),),
            "short",
            width=6,
            decimals=0,
            base=BLUE,
            tall=True,
            needs=Needs.VERSION,
        ),
        Number(
            "Refused by the gate",
            "Share of the versions that the gate refused. If it refuses most of them for days, data or code changed.",
            (
                Query(
                    f"(sum({REFUSED_VERSIONS}) or vector(0)) / clamp_min({ALL_VERSIONS}, 1) or vector(0)",
                    "refused",
                ),
            ),
            "percentunit",
            width=6,
            limits=((0.5, AMBER),),
            tall=True,
        ),
        Number(
            "Judge",
            "The judge's verdicts on live traffic that moved a release. A fail is a version that passed the gate but "
            "failed for callers: its gate lacks a case.",
            (Query(count("headgate_judge_verdicts_total", "verdict", DEPLOYER, many="max"), "{{verdict}}"),),
            "short",
            width=6,
            decimals=0,
            base=BLUE,
            tall=True,
            needs=Needs.RELEASE_SEEN,
        ),
        Graph(
            "Bad answers by arm",
            "Share of the answers to callers that are not a number or an error: the quality that callers see.",
            (
                Query(
                    f"max by (model, arm) (headgate:arm_errors:ratio_rate5m{{{RELEASED}}})",
                    "{{arm}} {{model}}",
                ),
            ),
            "percentunit",
            width=6,
            colours=ARMS,
            needs=Needs.PREDICTIONS,
        ),
    ),
)

TRAINING = Row(
    "Training",
    (
        Graph(
            "Loss",
            "The loss of the last epoch, for training and validation. If validation rises while training falls, the "
            "model overfits. If neither changes, check the learning rate.",
            (
                Query(
                    f"max by (model, kind) (headgate_training_loss{{{MODEL}}})",
                    "{{kind}} {{model}}",
                ),
            ),
            "short",
            width=12,
            needs=Needs.VERSION,
        ),
        Graph(
            "Epochs per second",
            "Over all trainings. If it falls to 0 while work is in progress, the training hangs or its data is slow.",
            (Query(rate("headgate_training_epochs_total", "service", TRAINER), "epochs"),),
            "short",
            width=6,
        ),
        Number(
            "Attempts that failed",
            "In the chosen time, by the stage. `headgate version get` has the reason of each.",
            (Query(count("headgate_failed_attempts_total", "stage", TRAINER), "{{stage}}"),),
            "short",
            width=6,
            base=BLUE,
            tall=True,
            needs=Needs.TWICE,
        ),
        Number(
            "Training takes",
            "Half of the attempts in the chosen time, and 90 % of them, took at most this long.",
            tuple(
                Query(
                    typical(portion, "headgate_training_duration_seconds", "outcome", TRAINER),
                    f"{{{{outcome}}}} {portion * 100:g} %",
                )
                for portion in (0.5, 0.9)
            ),
            "s",
            width=6,
            base=BLUE,
            tall=True,
            needs=Needs.TWICE,
        ),
    ),
)

EVALUATION = Row(
    "Evaluation and work",
    (
        Number(
            "Evaluation takes",
            "Half of the evaluations in the chosen time, and 90 % of them, took at most this long.",
            tuple(
                Query(
                    typical(portion, "headgate_evaluation_duration_seconds", "outcome", EVALUATOR),
                    f"{{{{outcome}}}} {portion * 100:g} %",
                )
                for portion in (0.5, 0.9)
            ),
            "s",
            width=8,
            base=BLUE,
            tall=True,
            needs=Needs.TWICE,
        ),
        Graph(
            "Work in progress",
            "Attempts and evaluations in progress, by service. If it does not change for hours, a worker hangs.",
            (
                Query(
                    'sum by (service) (headgate_work_in_hand{job="headgate", service=~"trainer|evaluator"})',
                    "{{service}}",
                ),
            ),
            "short",
            stepped=True,
        ),
        Graph(
            "Work that failed",
            "Share of the attempts at work in five minutes that failed. Work that is given up is in the dead letters.",
            (
                Query(
                    share(
                        'sum by (service) (rate(headgate_work_total{job="headgate", outcome!="done"}[5m]))',
                        'sum by (service) (rate(headgate_work_total{job="headgate"}[5m]))',
                    ),
                    "{{service}}",
                ),
            ),
            "percentunit",
            limits=((0.2, RED),),
            needs=Needs.TWICE,
        ),
    ),
)

PURGES = Row(
    "Purged versions",
    (
        Graph(
            "Deleted from the artifact store",
            "Bytes per second that the trainers delete: files of purged versions, and uploads without a version.",
            (
                Query(rate("headgate_purged_bytes_total", "service", TRAINER), "of purged versions"),
                Query(rate("headgate_unused_upload_bytes_total", "service", TRAINER), "unused uploads"),
            ),
            "Bps",
            width=12,
        ),
        Number(
            "Deletions that failed",
            "In the chosen time. Each is tried again after a minute, and the trainer's log has the reason.",
            (Query(count("headgate_purge_failures_total", "service", TRAINER), "failed"),),
            "short",
            width=12,
            base=BLUE,
        ),
    ),
)

PAGE = Page(
    "quality",
    "Quality",
    "Are the versions good: as evaluated, in training, and for callers?",
    (VERSIONS, GATE, TRAINING, EVALUATION, PURGES),
)
