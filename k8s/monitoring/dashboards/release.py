"""Release: the release of one model into an environment, from the wanted weights to the judge's evidence."""

from k8s.monitoring.dashboards.fleet import phase_timeline
from k8s.monitoring.dashboards.needs import Needs
from k8s.monitoring.dashboards.page import Page, Row
from k8s.monitoring.dashboards.panels import AMBER, ARMS, BLUE, GREEN, OUTCOMES, RED, Graph, Listing, Number, Query
from k8s.monitoring.dashboards.promql import DEPLOYER, ENVIRONMENT, MODEL, RELEASED, SMOOTH, count, in_environment

CANDIDATE = f'{RELEASED}, arm="candidate"'
WANTED, OBSERVED = "headgate_release_weight_wanted_ratio", "headgate_release_weight_observed_ratio"
STABLE_ONLY = f'headgate_stable_only{{job="headgate", {MODEL}}}'
STEP_LIMIT_SECONDS = 7_200
"""The limit of the alert HeadgateReleaseStuck."""


def _evidence(side: str) -> str:
    """The evidence as a share of the proof; 1 is proof."""
    return (
        f'max by (environment, model) (headgate_judge_e_value{{{RELEASED}, side="{side}"}})'
        f' / max by (environment, model) (headgate_judge_threshold{{{RELEASED}, side="{side}"}})'
    )


def _by_arm(outcomes: str) -> str:
    return f"sum by (arm, outcome) (headgate:predictions:rate1m{{{RELEASED}, {outcomes}}})"


def _duration(portion: float, arm: str) -> str:
    buckets = f'headgate_prediction_duration_seconds_bucket{{job="headgate", {MODEL}, arm="{arm}"}}'
    rates = in_environment(f"rate({buckets}[{SMOOTH}])")
    return f"histogram_quantile({portion:g}, sum by (le) ({rates}))"


NOW = Row(
    "Now",
    (
        phase_timeline(),
        Number(
            "Live version",
            "The version that serves. During a release it is the stable one.",
            (Query(f"max by (model, version) (headgate_version_live_info{{{RELEASED}}})", "{{model}} v{{version}}"),),
            "short",
            base=BLUE,
            labels_only=True,
            needs=Needs.COMPLETED,
        ),
        Number(
            "Candidate's share",
            "The share of the traffic that the log gives the candidate, and the share of the requests it answered. "
            "If they differ for long, see the runbook HeadgateWeightDrift.",
            (
                Query(f"max by (model) ({WANTED}{{{CANDIDATE}}})", "wanted {{model}}"),
                Query(f"max by (model) ({OBSERVED}{{{CANDIDATE}}})", "observed {{model}}"),
            ),
            "percentunit",
            width=6,
            decimals=1,
            base=BLUE,
            needs=Needs.RELEASE,
        ),
        Number(
            "Evidence that it is worse",
            "The judge's evidence as a share of proof. At 100 % the release is rolled back automatically.",
            (Query(_evidence("fail"), "{{model}}"),),
            "percentunit",
            limits=((0.5, AMBER), (1, RED)),
            needs=Needs.RELEASE,
        ),
        Number(
            "Evidence that it is fine",
            "The judge's evidence as a share of proof. At 100 % the last step may be promoted.",
            (Query(_evidence("pass"), "{{model}}"),),
            "percentunit",
            base=BLUE,
            limits=((1, GREEN),),
            needs=Needs.RELEASE,
        ),
        Number(
            "Time in the present step",
            "Time in the present step or phase. Above two hours: see the runbook HeadgateReleaseStuck.",
            (Query(f"max by (model) (headgate_release_step_seconds{{{RELEASED}}})", "{{model}}"),),
            "s",
            width=3,
            base=BLUE,
            limits=((STEP_LIMIT_SECONDS, AMBER),),
            needs=Needs.RELEASE,
        ),
        Number(
            "Gateways that serve stable only",
            "Gateways that give the candidate no traffic because the log does not answer them: see the runbook "
            "HeadgateStableOnly.",
            (Query(f"sum({in_environment(STABLE_ONLY)}) or vector(0)", "gateways"),),
            "short",
            width=3,
            limits=((1, RED),),
        ),
    ),
)

TRAFFIC = Row(
    "Traffic",
    (
        Graph(
            "Candidate's share, wanted and observed",
            "The stepped line is the share that the log gives the candidate, the other one its real share of the "
            "answers. The second follows the first within seconds. If it does not, a gateway is behind.",
            (
                Query(f"max by (environment, model) ({WANTED}{{{CANDIDATE}}})", "wanted {{model}}"),
                Query(f"max by (environment, model) ({OBSERVED}{{{CANDIDATE}}})", "observed {{model}}"),
            ),
            "percentunit",
            width=12,
            stepped=True,
            most=1,
            needs=Needs.RELEASE_SEEN,
        ),
        Graph(
            "Answers by arm",
            "The observed split of the traffic, stacked: stable below, candidate above.",
            (Query(f"max by (arm) ({OBSERVED}{{{RELEASED}}})", "{{arm}}"),),
            "percentunit",
            width=6,
            stacked=True,
            most=1,
            colours=ARMS,
            needs=Needs.SPLIT,
        ),
        Graph(
            "Drift and what chance explains",
            "The distance between the wanted and the observed share, and the largest distance that chance explains at "
            "this traffic. Above it for five minutes: see the runbook HeadgateWeightDrift.",
            (
                Query(f"headgate:release_weight:drift{{{RELEASED}}}", "drift {{model}}"),
                Query(f"headgate:release_weight:drift_tolerance{{{RELEASED}}}", "tolerance {{model}}"),
            ),
            "percentunit",
            width=6,
            needs=Needs.SPLIT,
        ),
    ),
)

BY_ARM = Row(
    "Rate, errors and duration by arm",
    (
        Graph(
            "Rate",
            "Predictions per second by arm, without refused ones.",
            (
                Query(
                    f'sum by (arm) (headgate:predictions:rate1m{{{RELEASED}, outcome!="refused"}})',
                    "{{arm}}",
                ),
            ),
            "reqps",
            colours=ARMS,
            needs=Needs.PREDICTIONS,
        ),
        Graph(
            "Errors",
            "Share of bad answers and errors by arm. The judge weighs how far the candidate's line is above stable's.",
            (Query(f"max by (arm) (headgate:arm_errors:ratio_rate5m{{{RELEASED}}})", "{{arm}}"),),
            "percentunit",
            colours=ARMS,
            needs=Needs.PREDICTIONS,
        ),
        Graph(
            "Duration",
            "Half of the answers, and 99 % of them, take at most this long, by arm. The objective is 0.1 s.",
            tuple(
                Query(_duration(portion, arm), f"{arm} {portion * 100:g} %")
                for arm in ("stable", "candidate")
                for portion in (0.5, 0.99)
            ),
            "s",
            limits=((0.1, RED),),
            colours={**ARMS, "stable 50": "super-light-blue", "candidate 50": "super-light-orange"},
            needs=Needs.PREDICTIONS,
        ),
        Graph(
            "Outcomes, stable",
            "Stable's answers per second: ok, bad (not a number), refused (fault of the caller), error (fault of the "
            "gateway).",
            (Query(_by_arm('arm="stable"'), "{{outcome}}"),),
            "reqps",
            colours=OUTCOMES,
            needs=Needs.PREDICTIONS,
        ),
        Graph(
            "Outcomes, candidate",
            "The candidate's answers per second. Bad answers only here come from the candidate itself.",
            (Query(_by_arm('arm="candidate"'), "{{outcome}}"),),
            "reqps",
            colours=OUTCOMES,
            needs=Needs.SPLIT,
        ),
        Graph(
            "Candidate minus stable",
            "Difference of the shares of bad answers. Above 0 for long: expect the judge to roll the release back.",
            (
                Query(
                    f'headgate:arm_errors:ratio_rate5m{{{RELEASED}, arm="candidate"}}'
                    f' - ignoring (arm) headgate:arm_errors:ratio_rate5m{{{RELEASED}, arm="stable"}}',
                    "{{model}}",
                ),
            ),
            "percentunit",
            needs=Needs.SPLIT,
        ),
    ),
)

JUDGE = Row(
    "The judge",
    (
        Graph(
            "Evidence that the candidate is worse",
            "The e-value and its threshold, on a logarithmic scale. Above the threshold it is proof at the policy's "
            "alpha, however often the judge looks. Then the release is rolled back automatically.",
            (
                Query(f'max by (model) (headgate_judge_e_value{{{RELEASED}, side="fail"}})', "evidence {{model}}"),
                Query(f'max by (model) (headgate_judge_threshold{{{RELEASED}, side="fail"}})', "proof {{model}}"),
            ),
            "short",
            logarithmic=True,
            needs=Needs.RELEASE_SEEN,
        ),
        Graph(
            "Evidence that it is good enough",
            "The last step is promoted when this crosses its threshold. Flat line: too little traffic at this weight.",
            (
                Query(f'max by (model) (headgate_judge_e_value{{{RELEASED}, side="pass"}})', "evidence {{model}}"),
                Query(f'max by (model) (headgate_judge_threshold{{{RELEASED}, side="pass"}})', "proof {{model}}"),
            ),
            "short",
            logarithmic=True,
            needs=Needs.RELEASE_SEEN,
        ),
        Number(
            "Verdicts that moved releases",
            "In the chosen time. The log has each one with its evidence: `headgate release get` shows it.",
            (
                Query(
                    count("headgate_judge_verdicts_total", "verdict", DEPLOYER, many="max"),
                    "{{verdict}}",
                ),
            ),
            "short",
            width=8,
            base=BLUE,
            decimals=0,
            tall=True,
            needs=Needs.RELEASE_SEEN,
        ),
    ),
)

STEPS = Row(
    "Steps",
    (
        Graph(
            "Time in each step",
            "It falls to 0 with each step. If the line only rises, the release waits for keys, for a verdict or for a "
            "person: `headgate release get` shows which.",
            (
                Query(
                    f"max by (environment, model) (headgate_release_step_seconds{{{RELEASED}}})",
                    "{{model}} in {{environment}}",
                ),
            ),
            "s",
            limits=((STEP_LIMIT_SECONDS, AMBER),),
            needs=Needs.RELEASE_SEEN,
        ),
        Listing(
            "What happened",
            "Facts of releases in the chosen time. The markers in the graphs show the same facts.",
            count("headgate_release_events_total", "environment, model, event", RELEASED, many="max") + " > 0",
            {"model": "Model", "environment": "Environment", "event": "Event"},
            value="Times",
            width=8,
            needs=Needs.RELEASE_SEEN,
        ),
        Graph(
            "Gateways live",
            "A step starts to count when every live gateway serves its weights.",
            (Query(f"max by (environment) (headgate_gateways_live{{{ENVIRONMENT}}})", "{{environment}}"),),
            "short",
            stepped=True,
            needs=Needs.FACTS,
        ),
        Graph(
            "Versions loaded",
            "Versions that are ready to predict, by gateway: one for each live version and one for each candidate.",
            (Query(in_environment('headgate_versions_loaded{job="headgate"}'), "{{instance}}"),),
            "short",
            stepped=True,
        ),
        Graph(
            "Versions that could not be loaded",
            "The signature, the digest or the network is wrong: see the runbook HeadgateVersionLoadFailures.",
            (
                Query(
                    in_environment('increase(headgate_version_load_failures_total{job="headgate"}[5m])'),
                    "{{instance}}",
                ),
            ),
            "short",
            limits=((1, RED),),
        ),
        Graph(
            "Time since the log answered",
            "By gateway. Above the policy's candidate lease (60 s by default) the gateway gives stable all traffic.",
            (Query(in_environment('headgate_log_heard_seconds{job="headgate"}'), "{{instance}}"),),
            "s",
            limits=((60, RED),),
        ),
    ),
)

PAGE = Page(
    "release",
    "Release",
    "The release of one model into an environment: the wanted weights, the answers of each arm, the judge's evidence.",
    (NOW, TRAFFIC, BY_ARM, JUDGE, STEPS),
    one_model=True,
)
