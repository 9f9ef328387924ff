"""Fleet: is everything up, what is live where, and how well are models delivered?"""

from k8s.monitoring.dashboards.needs import Needs
from k8s.monitoring.dashboards.page import Page, Row
from k8s.monitoring.dashboards.panels import AMBER, BLUE, GREEN, GREY, RED, Graph, Listing, Number, Query, Timeline
from k8s.monitoring.dashboards.promql import (
    DEPLOYER,
    ENVIRONMENT,
    FAULTS,
    RELEASED,
    SERVICE,
    count,
    quantile,
    rate,
    share,
    typical,
)

PHASES = {
    "requested": (1, GREY),
    "preparing": (2, "purple"),
    "stepping": (3, BLUE),
    "promoting": (4, "light-blue"),
    "baking": (5, GREEN),
    "rolling_back": (6, RED),
    "paused": (7, AMBER),
}
"""Phase of a release under way -> its number in the timeline, its colour."""


def phase_timeline(width: int = 24) -> Timeline:
    """Which model is in which phase, over time."""
    numbered = " or ".join(
        f'{number} * headgate_release_active{{{RELEASED}, phase="{phase}"}}' for phase, (number, _) in PHASES.items()
    )
    names: dict[float, tuple[str, str]] = {0: ("no release", "transparent")}
    names |= {number: (phase.replace("_", " "), colour) for phase, (number, colour) in PHASES.items()}
    return Timeline(
        "Releases by phase",
        "Each model's release over time; amber is held and waits for a person, red is being taken back. "
        "Open the release dashboard for the model that is not where it should be.",
        (Query(f"max by (environment, model) ({numbered})", "{{model}} in {{environment}}"),),
        names,
        width,
        needs=Needs.RELEASE_SEEN,
    )


NOW = Row(
    "Now",
    (
        Number(
            "Services up",
            "Instances that answer their metrics door, by service. Red: see the runbook HeadgateServiceDown.",
            (Query(f"min by (service) (up{{{SERVICE}}})", "{{service}}"),),
            "short",
            width=8,
            names={0: ("down", RED), 1: ("up", GREEN)},
        ),
        Number(
            "Ready",
            "Whether every instance takes work. Amber for minutes: its replay is slow or the log does not answer.",
            (Query(f"min by (service) (headgate_ready{{{SERVICE}}})", "{{service}}"),),
            "short",
            width=8,
            names={0: ("not ready", AMBER), 1: ("ready", GREEN)},
        ),
        Number(
            "Alerts firing",
            "Headgate's own alerts; each links to its runbook in Prometheus or Alertmanager.",
            (Query('count(ALERTS{alertname=~"Headgate.*", alertstate="firing"}) or vector(0)', "firing"),),
            "short",
            limits=((1, RED),),
        ),
        Number(
            "Gateways live",
            "Gateways that the deployer has heard in the last seconds. None: nothing predicts and no release moves.",
            (Query(f"max by (environment) (headgate_gateways_live{{{ENVIRONMENT}}})", "{{environment}}"),),
            "short",
            base=RED,
            limits=((1, GREEN),),
            needs=Needs.FACTS,
        ),
        phase_timeline(),
        Listing(
            "Live versions",
            "What answers callers now. A model that is missing here has never completed a release.",
            f"max by (environment, model, version) (headgate_version_live_info{{{RELEASED}}})",
            {"model": "Model", "environment": "Environment", "version": "Live version"},
            needs=Needs.COMPLETED,
        ),
        Listing(
            "Builds",
            "What runs where. Two versions of one service for longer than a roll-out is a roll-out that stopped.",
            f"count by (service, version, python) (headgate_build_info{{{SERVICE}}})",
            {"service": "Service", "version": "Version", "python": "Python"},
            value="Instances",
        ),
    ),
)

TRAFFIC = Row(
    "Predictions",
    (
        Graph(
            "Predictions",
            "Answers per second by model. A sudden drop to nothing is a caller or a gateway that is gone.",
            (Query(f"sum by (environment, model) (headgate:predictions:rate1m{{{RELEASED}}})", "{{model}}"),),
            "reqps",
            needs=Needs.PREDICTIONS,
        ),
        Graph(
            "Bad answers and errors",
            "Share of the answers that are not a number or an error. The objective is below 0.1 %; above it for long, "
            "the error budget burns: see the runbook HeadgatePredictionErrors.",
            (Query(f"headgate:prediction_errors:ratio_rate5m{{{RELEASED}}}", "{{model}}"),),
            "percentunit",
            limits=((0.001, AMBER), (0.0144, RED)),
            needs=Needs.PREDICTIONS,
        ),
        Graph(
            "Slower than 0.1 s",
            "Share of the answers that took longer than the objective's 0.1 s; 1 % is allowed. See the runbook "
            "HeadgatePredictionLatency.",
            (Query(f"headgate:prediction_slow:ratio_rate5m{{{RELEASED}}}", "{{model}}"),),
            "percentunit",
            limits=((0.01, AMBER), (0.144, RED)),
            needs=Needs.PREDICTIONS,
        ),
    ),
)

ENDED = f'{RELEASED}, event="ReleaseCompleted"'
TAKEN_BACK = f'{RELEASED}, event="ReleaseRolledBack"'
EVENTS = "headgate_release_events_total"


def _releases(where: str) -> str:
    """How many over the chosen time, 0 when none; replicas see the same log, so the largest counts."""
    return f"(sum({count(EVENTS, 'environment, model', where, many='max')}) or vector(0))"


DELIVERY = Row(
    "Delivery over the chosen time",
    (
        Number(
            "Releases completed",
            "How often a version became live. Choose a longer time range for a trend.",
            (Query(_releases(ENDED), "completed"),),
            "short",
            decimals=0,
            base=BLUE,
        ),
        Number(
            "Change failure rate",
            "Of the releases that ended, the share that was taken back. Above 15 %: let the gate ask for more.",
            (
                Query(
                    f"{_releases(TAKEN_BACK)} / clamp_min({_releases(TAKEN_BACK)} + {_releases(ENDED)}, 1)",
                    "taken back",
                ),
            ),
            "percentunit",
            limits=((0.15, AMBER), (0.3, RED)),
        ),
        Number(
            "Lead time, median",
            "From a commit's arrival to the end of the release that made it live. Long: look where versions wait, "
            "training, approval or traffic.",
            (Query(typical(0.5, "headgate_lead_time_seconds", "", 'job="headgate"'), "median"),),
            "s",
            limits=((86_400, AMBER), (604_800, RED)),
            empty="no release yet",
            needs=Needs.COMPLETED,
        ),
        Number(
            "Time to restore, 90 %",
            "From a rollback's start to stable serving everywhere. Above 30 s: gateways follow the log too late.",
            (Query(typical(0.9, "headgate_time_to_restore_seconds", "", 'job="headgate"'), "90 %"),),
            "s",
            limits=((30, AMBER), (60, RED)),
            empty="no rollback yet",
            needs=Needs.ROLLED_BACK,
        ),
        Number(
            "Gate verdicts",
            "How many versions the gate let pass and how many it refused. Only passes: is the gate too easy?",
            (
                Query(
                    count("headgate_gate_verdicts_total", "verdict", 'job="headgate"', many="max"),
                    "{{verdict}}",
                ),
            ),
            "short",
            decimals=0,
            base=BLUE,
            needs=Needs.VERSION,
        ),
        Number(
            "All releases",
            "All releases of the environment by the phase they are in, ended ones included.",
            (Query(f"max by (phase) (headgate_releases{{{DEPLOYER}}}) > 0", "{{phase}}"),),
            "short",
            base=BLUE,
            needs=Needs.RELEASE_SEEN,
        ),
    ),
)

CALLS = Row(
    "Calls",
    (
        Graph(
            "Calls by service",
            "gRPC calls answered per second. None where there were some: its callers or its door are gone.",
            (Query(rate("headgate_rpc_requests_total", "service"), "{{service}}"),),
            "reqps",
            needs=Needs.CALLS,
        ),
        Graph(
            "Calls that failed",
            "Share of the calls that failed by the service's fault, not the caller's. Above 5 %: see the runbook "
            "HeadgateRpcErrors.",
            (
                Query(
                    share(
                        rate("headgate_rpc_requests_total", "service", f"{SERVICE}, {FAULTS}"),
                        rate("headgate_rpc_requests_total", "service"),
                    ),
                    "{{service}}",
                ),
            ),
            "percentunit",
            limits=((0.05, RED),),
            needs=Needs.CALLS,
        ),
        Graph(
            "Duration of calls, 99 %",
            "99 % of the calls take at most this long. Streams that are watched last as long as they are watched.",
            (Query(quantile(0.99, "headgate_rpc_duration_seconds", "service"), "{{service}}"),),
            "s",
            needs=Needs.CALLS,
        ),
    ),
)

PROCESSES = Row(
    "Processes",
    (
        Graph(
            "CPU",
            "Cores in use by process. A service at its limit answers late: give it more, or another replica.",
            (Query(f"rate(process_cpu_seconds_total{{{SERVICE}}}[$__rate_interval])", "{{service}} {{instance}}"),),
            "short",
        ),
        Graph(
            "Memory",
            "Resident memory by process. Growth without end is a leak: compare with the number of models.",
            (Query(f"process_resident_memory_bytes{{{SERVICE}}}", "{{service}} {{instance}}"),),
            "bytes",
        ),
        Graph(
            "Open files",
            "File descriptors in use as a share of the limit.",
            (
                Query(
                    f"process_open_fds{{{SERVICE}}} / process_max_fds{{{SERVICE}}}",
                    "{{service}} {{instance}}",
                ),
            ),
            "percentunit",
            limits=((0.8, RED),),
        ),
        Graph(
            "Running for",
            "Time since each process started; a saw-tooth is a crash loop.",
            (Query(f"time() - process_start_time_seconds{{{SERVICE}}}", "{{service}} {{instance}}"),),
            "s",
            width=12,
        ),
        Graph(
            "Pieces of work in hand",
            "Training, evaluation and piloting under way. Flat for hours: a worker that hangs.",
            (Query(f"sum by (service) (headgate_work_in_hand{{{SERVICE}}})", "{{service}}"),),
            "short",
            width=12,
            stepped=True,
        ),
    ),
)

PAGE = Page(
    "fleet",
    "Fleet",
    "Is everything up, what is live where, and how well are models delivered?",
    (NOW, TRAFFIC, DELIVERY, CALLS, PROCESSES),
)
