"""Quality: are the versions good, offline, in training and in front of callers?"""

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
            "The metrics of what serves now, on the held-out rows of its own evaluation.",
            f"max by (environment, model, metric) (headgate_live_metric{{{RELEASED}}})",
            {"model": "Model", "environment": "Environment", "metric": "Metric"},
            value="Value",
            decimals=4,
            width=8,
            needs=Needs.COMPLETED,
        ),
        Listing(
            "Candidates",
            "The metrics of what is being released. Empty while nothing is.",
            f"max by (environment, model, metric) (headgate_candidate_metric{{{RELEASED}}})",
            {"model": "Model", "environment": "Environment", "metric": "Metric"},
            value="Value",
            decimals=4,
            width=8,
            needs=Needs.RELEASE,
        ),
        Listing(
            "Candidate less live",
            "Below nothing the candidate is worse, and the gate let it pass: read its policy's max_drop.",
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
            "A step is a release. A metric that only sinks from release to release is drift by small permissions: "
            "tighten the gate.",
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
            "The metrics of each candidate while it was being released.",
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
    "Verdicts over the chosen time",
    (
        Number(
            "Gate",
            "Versions that passed and that failed their gate. `headgate version get` says by how much one failed.",
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
            "Share of the versions that the gate refused. Most of them for days: data or code has changed.",
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
            "Verdicts of live traffic on which a release moved. A fail is a version that the gate could not fault and "
            "callers could: its gate lacks a case.",
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
            "Share of the answers to callers that are no number or an error: quality as callers see it.",
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
            "Of the last epoch, training and validation. Validation that climbs while training falls is overfitting; "
            "neither moves: look at the learning rate.",
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
            "Over all trainings. Falls to nothing while work is in hand: the training hangs or the data is slow.",
            (Query(rate("headgate_training_epochs_total", "service", TRAINER), "epochs"),),
            "short",
            width=6,
        ),
        Number(
            "Training takes",
            "Half and 90 % of the attempts of the chosen time took at most this long.",
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
            "Half and 90 % of the evaluations of the chosen time took at most this long.",
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
            "Work in hand",
            "Attempts and evaluations under way, by service. Flat for hours is a worker that hangs.",
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
            "Share of the tries of five minutes that did not succeed. What is given up is in the dead letters.",
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

PAGE = Page(
    "quality",
    "Quality",
    "Are the versions good: as evaluated, in training, and in front of callers?",
    (VERSIONS, GATE, TRAINING, EVALUATION),
)
