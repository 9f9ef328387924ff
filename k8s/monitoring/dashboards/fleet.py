"""Fleet: is everything up, what is live where, and how well are models delivered?"""

from k8s.monitoring.dashboards.needs import Needs
from k8s.monitoring.dashboards.page import Page, Row
from k8s.monitoring.dashboards.panels import AMBER, BLUE, GREEN, GREY, RED, Graph, Listing, Number, Query, Timeline
from k8s.monitoring.dashboards.promql import (
    DEPLOYER,
    ENVIRONMENT,
    FAULTS,
    MODEL,
    RELEASED,
    SERVICE,
    SMOOTH,
    count,
    in_environment,
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
"""The phase of a running release -> its number in the timeline and its colour."""


def phase_timeline(width: int = 24) -> Timeline:
    """The phase of each model's release, over time."""
    numbered = " or ".join(
        f'{number} * headgate_release_active{{{RELEASED}, phase="{phase}"}}' for phase, (number, _) in PHASES.items()
    )
    names: dict[float, tuple[str, str]] = {0: ("no release", "transparent")}
    names |= {number: (phase.replace("_", " "), colour) for phase, (number, colour) in PHASES.items()}
    return Timeline(
        "Releases by phase",
        "Each model's release over time. Amber: paused, it waits for a person. Red: it is being rolled back. Open the "
        "release dashboard for a model that is not where it should be.",
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
            "Instances that answer on their HTTP port, by service. Red: see the runbook HeadgateServiceDown.",
            (Query(f"min by (service) (up{{{SERVICE}}})", "{{service}}"),),
            "short",
            width=8,
            names={0: ("down", RED), 1: ("up", GREEN)},
        ),
        Number(
            "Ready",
            "Whether every instance takes work. Amber for minutes: its replay is slow, or the log does not answer.",
            (Query(f"min by (service) (headgate_ready{{{SERVICE}}})", "{{service}}"),),
            "short",
            width=8,
            names={0: ("not ready", AMBER), 1: ("ready", GREEN)},
        ),
        Number(
            "Alerts firing",
            "Headgate's own alerts. In Prometheus and Alertmanager each one links to its runbook.",
            (Query('count(ALERTS{alertname=~"Headgate.*", alertstate="firing"}) or vector(0)', "firing"),),
            "short",
            limits=((1, RED),),
        ),
        Number(
            "Gateways live",
            "Gateways that reported to the deployer in the last seconds. None: no model predicts and no release moves.",
            (Query(f"max by (environment) (headgate_gateways_live{{{ENVIRONMENT}}})", "{{environment}}"),),
            "short",
            base=RED,
            limits=((1, GREEN),),
            needs=Needs.FACTS,
        ),
        phase_timeline(),
        Listing(
            "Live versions",
            "The versions that answer callers now. A model that is missing here has never completed a release.",
            f"max by (environment, model, version) (headgate_version_live_info{{{RELEASED}}})",
            {"model": "Model", "environment": "Environment", "version": "Live version"},
            needs=Needs.COMPLETED,
        ),
        Listing(
            "Builds",
            "What runs where. If a service has two versions for longer than a roll-out takes, the roll-out stopped.",
            f"count by (service, version, python) (headgate_build_info{{{SERVICE}}})",
            {"service": "Service", "version": "Version", "python": "Python"},
            value="Instances",
        ),
    ),
)

WAITING = f'headgate_predictions_waiting{{job="headgate", {MODEL}}}'
WRITTEN = f'rate(headgate_prediction_log_written_total{{job="headgate"}}[{SMOOTH}])'
DROPPED = f'rate(headgate_prediction_log_dropped_total{{job="headgate"}}[{SMOOTH}])'
HELD = 'headgate_version_memory_bytes{job="headgate"}'
HELD_LIMIT = 'headgate_version_memory_limit_bytes{job="headgate"}'
ASLEEP = 'headgate_versions_asleep{job="headgate"}'
WAITING_FOR_LOADS = 'headgate_predictions_waiting_for_loads{job="headgate"}'
GAVE_WAY = f'rate(headgate_version_evictions_total{{job="headgate"}}[{SMOOTH}])'
LOADS = f'rate(headgate_version_load_duration_seconds_count{{job="headgate"}}[{SMOOTH}])'
NOT_RUN = f'rate(headgate_predictions_not_run_total{{job="headgate", {MODEL}}}[{SMOOTH}])'

DEVICES = 'headgate_edge_devices{job="headgate"}'
REFUSING = 'headgate_edge_devices_refusing{job="headgate"}'
TOTALS = f'rate(headgate_edge_totals_total{{job="headgate"}}[{SMOOTH}])'


def _per_batch(part: str) -> str:
    """The sum of the requests in batches, or their number, per second and gateway."""
    series = f'headgate_prediction_batch_requests_{part}{{job="headgate"}}'
    return f"sum by (instance) ({in_environment(f'rate({series}[{SMOOTH}])')})"


TRAFFIC = Row(
    "Predictions",
    (
        Graph(
            "Predictions",
            "Answers per second by model. After a sudden drop to 0 a caller or a gateway is gone.",
            (Query(f"sum by (environment, model) (headgate:predictions:rate1m{{{RELEASED}}})", "{{model}}"),),
            "reqps",
            needs=Needs.PREDICTIONS,
        ),
        Graph(
            "Bad answers and errors",
            "Share of the answers that are not a number or an error. The objective is below 0.1 %. Above it the error "
            "budget shrinks: see the runbook HeadgatePredictionErrors.",
            (Query(f"headgate:prediction_errors:ratio_rate5m{{{RELEASED}}}", "{{model}}"),),
            "percentunit",
            limits=((0.001, AMBER), (0.0144, RED)),
            needs=Needs.PREDICTIONS,
        ),
        Graph(
            "Slower than 0.1 s",
            "Share of the answers that took longer than 0.1 s, the objective. 1 % is allowed. See the runbook "
            "HeadgatePredictionLatency.",
            (Query(f"headgate:prediction_slow:ratio_rate5m{{{RELEASED}}}", "{{model}}"),),
            "percentunit",
            limits=((0.01, AMBER), (0.144, RED)),
            needs=Needs.PREDICTIONS,
        ),
        Graph(
            "Requests that wait for a slow version",
            "A slow version answers one request, or one batch of them, after the other in each gateway. At most 64 "
            "more wait there, or as many as it answers in a second. When many wait for long, the version gets more "
            "requests than it can answer.",
            (Query(f"sum by (model) ({in_environment(WAITING)}) or vector(0)", "{{model}}"),),
            "short",
            width=12,
        ),
        Graph(
            "Devices",
            "Devices that follow a gateway, and those of them that refuse a version. A device that refuses one keeps "
            "what it has; the gateway's log has the reason.",
            (
                Query(f"sum({DEVICES}) or vector(0)", "follow"),
                Query(f"sum({REFUSING}) or vector(0)", "refuse a version"),
            ),
            "short",
            width=12,
        ),
        Graph(
            "Totals of devices",
            "Totals that devices report per second, by what became of them. Refused ones contradict the release: see "
            "the page on devices.",
            (Query(f"sum by (outcome) ({TOTALS}) or vector(0)", "{{outcome}}"),),
            "short",
            width=12,
        ),
        Graph(
            "Requests that did not run",
            "Requests per second that were refused because too many waited, or that ended while they waited. See the "
            "runbook HeadgateRequestsNotRun.",
            (Query(f"sum by (model, reason) ({in_environment(NOT_RUN)}) or vector(0)", "{{model}} {{reason}}"),),
            "reqps",
            width=12,
        ),
        Graph(
            "Requests that run together",
            "The requests of a batch, on average and for 95 % of the batches, by gateway. A slow version runs those "
            "together that wait at the same time. Requests that run alone are not included.",
            (
                Query(f"{_per_batch('sum')} / {_per_batch('count')}", "{{instance}} mean"),
                Query(quantile(0.95, "headgate_prediction_batch_requests", "instance"), "{{instance}} 95 %"),
            ),
            "short",
            width=12,
            needs=Needs.TOGETHER,
        ),
        Graph(
            "Memory for versions",
            "What loaded versions hold in each gateway, and what they may hold. At the limit the version that answered "
            "least recently gives way to one that is asked for.",
            (
                Query(in_environment(HELD), "{{instance}} held"),
                Query(in_environment(HELD_LIMIT), "{{instance}} limit"),
            ),
            "bytes",
            width=12,
        ),
        Graph(
            "Versions that give way and load",
            "Loads and evictions per second, and the versions that sleep until their next request. When many give way "
            "all the time, requests wait for loads: raise HEADGATE_MODEL_MEMORY_BYTES, or add gateways.",
            (
                Query(f"sum ({in_environment(GAVE_WAY)}) or vector(0)", "gave way"),
                Query(f"sum ({in_environment(LOADS)}) or vector(0)", "loaded"),
                Query(f"sum ({in_environment(ASLEEP)}) or vector(0)", "asleep"),
                Query(f"sum ({in_environment(WAITING_FOR_LOADS)}) or vector(0)", "requests that wait"),
            ),
            "short",
            width=12,
        ),
        Graph(
            "Duration of loads, 90 %",
            "90 % of the loads of a version take at most this long: reading, verifying, trying and warming it up.",
            (Query(quantile(0.9, "headgate_version_load_duration_seconds", "instance"), "{{instance}}"),),
            "s",
            width=12,
            needs=Needs.COMPLETED,
        ),
        Graph(
            "Prediction log",
            "Sampled predictions that were written per second, and those that were dropped, by reason. When many are "
            "dropped, lower HEADGATE_PREDICTION_RATE: see the runbook HeadgatePredictionsNotLogged.",
            (
                Query(f"sum ({in_environment(WRITTEN)}) or vector(0)", "written"),
                Query(f"sum by (reason) ({in_environment(DROPPED)}) or vector(0)", "dropped: {{reason}}"),
            ),
            "short",
            width=12,
        ),
    ),
)

ENDED = f'{RELEASED}, event="ReleaseCompleted"'
ROLLED_BACK = f'{RELEASED}, event="ReleaseRolledBack"'
EVENTS = "headgate_release_events_total"


def _releases(where: str) -> str:
    """The number of such events in the chosen time. All replicas count the same log, so the largest number is used."""
    return f"(sum({count(EVENTS, 'environment, model', where, many='max')}) or vector(0))"


DELIVERY = Row(
    "Delivery in the chosen time",
    (
        Number(
            "Releases completed",
            "How often a version went live. Choose a longer time range for a trend.",
            (Query(_releases(ENDED), "completed"),),
            "short",
            decimals=0,
            base=BLUE,
        ),
        Number(
            "Change failure rate",
            "The share of the ended releases that were rolled back. Above 15 %: make the gate stricter.",
            (
                Query(
                    f"{_releases(ROLLED_BACK)} / clamp_min({_releases(ROLLED_BACK)} + {_releases(ENDED)}, 1)",
                    "rolled back",
                ),
            ),
            "percentunit",
            limits=((0.15, AMBER), (0.3, RED)),
        ),
        Number(
            "Lead time, median",
            "Time from a commit's arrival to the end of the release that made it live. If it is long, find out where "
            "versions wait: for training, approval or traffic.",
            (Query(typical(0.5, "headgate_lead_time_seconds", "", 'job="headgate"'), "median"),),
            "s",
            limits=((86_400, AMBER), (604_800, RED)),
            empty="no release yet",
            needs=Needs.COMPLETED,
        ),
        Number(
            "Time to restore, 90 %",
            "Time from a rollback's start until stable serves everywhere. Above 30 s: gateways follow the log late.",
            (Query(typical(0.9, "headgate_time_to_restore_seconds", "", 'job="headgate"'), "90 %"),),
            "s",
            limits=((30, AMBER), (60, RED)),
            empty="no rollback yet",
            needs=Needs.ROLLED_BACK,
        ),
        Number(
            "Gate verdicts",
            "How many versions the gate let pass and how many it refused. If all pass, the gate may be too easy.",
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
            "All releases of the environment by phase, including ended ones.",
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
            "gRPC calls answered per second. After a drop to 0 the callers or the service's gRPC server are gone.",
            (Query(rate("headgate_rpc_requests_total", "service"), "{{service}}"),),
            "reqps",
            needs=Needs.CALLS,
        ),
        Graph(
            "Calls that failed",
            "Share of the calls that failed by a fault of the service, not of the caller. Above 5 %: see the runbook "
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
            "99 % of the calls take at most this long. Streams are not included.",
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
            "CPU cores in use, by process. A service at its limit answers late: give it more cores or a replica.",
            (Query(f"rate(process_cpu_seconds_total{{{SERVICE}}}[$__rate_interval])", "{{service}} {{instance}}"),),
            "short",
        ),
        Graph(
            "Memory",
            "Resident memory by process. Compare it with the number of models: endless growth is a leak.",
            (Query(f"process_resident_memory_bytes{{{SERVICE}}}", "{{service}} {{instance}}"),),
            "bytes",
        ),
        Graph(
            "Open files",
            "File descriptors in use, as a share of the limit.",
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
            "Time since each process started. A saw-tooth line is a crash loop.",
            (Query(f"time() - process_start_time_seconds{{{SERVICE}}}", "{{service}} {{instance}}"),),
            "s",
            width=12,
        ),
        Graph(
            "Pieces of work in progress",
            "Training, evaluation and releases in progress. If it does not change for hours, a worker hangs.",
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
