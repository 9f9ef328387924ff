"""Log: do all readers keep up with the log, and what was refused, void or buried?"""

from k8s.monitoring.dashboards.needs import Needs
from k8s.monitoring.dashboards.page import Page, Row
from k8s.monitoring.dashboards.panels import AMBER, BLUE, GREEN, OUTCOMES, RED, Graph, Number, Query
from k8s.monitoring.dashboards.promql import SERVICE, WHOLE_RANGE, count, quantile, rate

REGISTRY = 'job="headgate", service="registry"'


def _sum(query: str) -> str:
    """The sum as one number; 0 when there is no series."""
    return f"sum({query}) or vector(0)"


NOW = Row(
    "Now",
    (
        Number(
            "Furthest behind",
            "Age of the oldest record that a reader has not read. Above 30 s: see the runbook HeadgateLogLag.",
            (Query(f"max(headgate_log_lag_seconds{{{SERVICE}}})", "behind"),),
            "s",
            limits=((10, AMBER), (30, RED)),
        ),
        Number(
            "Streams stopped",
            "Models and environments that stopped at an illegal fact. Any: see the runbook HeadgateStreamStopped.",
            (Query(f"max(headgate_streams_stopped{{{SERVICE}}})", "streams"),),
            "short",
            limits=((1, RED),),
        ),
        Number(
            "Undecidable",
            "Models, releases and versions that a service cannot decide about because of an error. Any: see the "
            "runbook HeadgateUndecidable.",
            (Query(f"max(headgate_undecidable{{{SERVICE}}})", "undecidable"),),
            "short",
            limits=((1, RED),),
        ),
        Number(
            "Dead letters",
            "Records and work buried in the chosen time. Any: see the runbook HeadgateDeadLetters.",
            (Query(_sum(count("headgate_dead_letters_total", "topic, code")), "buried"),),
            "short",
            decimals=0,
            limits=((1, RED),),
        ),
        Number(
            "Void records",
            "Lifecycle records that lost the race for their stream, in the chosen time. A few are normal with two "
            "registries. Many: see the runbook HeadgateVoidRecords.",
            (Query(f"max(increase(headgate_void_records_total{{{SERVICE}}}[{WHOLE_RANGE}]))", "void"),),
            "short",
            decimals=0,
            limits=((20, AMBER),),
        ),
        Number(
            "View",
            "Whether the view in Redis answers the registry. Without a view, lists come from the fold. Red: see the "
            "runbook HeadgateViewDown.",
            (Query(f"min(headgate_view_up{{{SERVICE}}})", "view"),),
            "short",
            names={0: ("down", RED), 1: ("up", GREEN)},
            empty="no view set",
            needs=Needs.REDIS,
        ),
        Number(
            "View is behind by",
            "Age of the oldest fact that the view does not show. Above 15 s: see the runbook HeadgateViewStale.",
            (Query(f"max(headgate_view_lag_seconds{{{SERVICE}}})", "behind"),),
            "s",
            limits=((1, AMBER), (15, RED)),
            empty="no view set",
            needs=Needs.REDIS,
        ),
    ),
)

READERS = Row(
    "Readers",
    (
        Graph(
            "Lag in records",
            "Records that a reader has not read. Short peaks are normal. If it does not fall again, see the runbook "
            "HeadgateLogLagGrows.",
            (
                Query(
                    f"max by (service, topic, reader) (headgate_log_lag_records{{{SERVICE}}})",
                    "{{service}} {{topic}} {{reader}}",
                ),
            ),
            "short",
            width=12,
        ),
        Graph(
            "Lag in seconds",
            "Age of the oldest record that a reader has not read: the delay that callers notice.",
            (
                Query(
                    f"max by (service, topic, reader) (headgate_log_lag_seconds{{{SERVICE}}})",
                    "{{service}} {{topic}} {{reader}}",
                ),
            ),
            "s",
            width=12,
            limits=((30, RED),),
        ),
        Graph(
            "Age of facts when folded, 99 %",
            "Time from a fact's occurrence until it is folded, by service.",
            (Query(quantile(0.99, "headgate_fact_age_seconds", "service"), "{{service}}"),),
            "s",
            width=6,
            needs=Needs.FACTS,
        ),
        Graph(
            "Clock of the host less the log's time",
            "Normally near 0. Durations follow the log's time, so a wrong clock stops nothing. Beyond 2 s: see the "
            "runbook HeadgateClockSkew.",
            (
                Query(
                    f"max by (service, instance) (headgate_clock_skew_seconds{{{SERVICE}}})", "{{service}} {{instance}}"
                ),
            ),
            "s",
            width=12,
            limits=((2, RED),),
        ),
        Graph(
            "Readers that lost the log",
            "How often a second a reader started again. More than rarely: see the runbook HeadgateLogErrors.",
            (Query(rate("headgate_log_errors_total", "service"), "{{service}}"),),
            "short",
            width=6,
        ),
        Graph(
            "Invalid trace headers",
            "Invalid traceparent headers per second. They are ignored, so their senders are missing in traces.",
            (Query(rate("headgate_invalid_trace_parents_total", "service"), "{{service}}"),),
            "short",
            width=6,
        ),
        Graph(
            "Work done",
            "Attempts at work per second, by outcome. Work that is given up is buried.",
            (Query(rate("headgate_work_total", "service, outcome"), "{{service}} {{outcome}}"),),
            "short",
            width=6,
            needs=Needs.FACTS,
        ),
    ),
)

FACTS = Row(
    "Facts",
    (
        Graph(
            "Facts by type",
            "Accepted facts per second, as the registry folds them.",
            (
                Query(
                    f"max by (fact) (rate(headgate_facts_total{{{REGISTRY}}}[$__rate_interval]))",
                    "{{fact}}",
                ),
            ),
            "short",
            width=12,
            stacked=True,
            needs=Needs.FACTS,
        ),
        Graph(
            "Time to fold a fact, 99 %",
            "By service. Folding a fact takes a few hundred microseconds. If it is slow, a replay is slow too.",
            (Query(quantile(0.99, "headgate_fact_duration_seconds", "service"), "{{service}}"),),
            "s",
            width=6,
            needs=Needs.TWICE,
        ),
        Graph(
            "Facts that stopped their stream",
            "Accepted facts that broke a rule, per service. Any: see the runbook HeadgateStreamStopped.",
            (
                Query(
                    f"{count('headgate_fact_errors_total', 'service, fact', over='5m')} or vector(0)",
                    "{{service}} {{fact}}",
                ),
            ),
            "short",
            width=6,
            limits=((1, RED),),
        ),
    ),
)

COMMANDS = Row(
    "Commands",
    (
        Graph(
            "Commands by outcome",
            "Per second: accepted, held (the fact existed already), refused by a rule, contended, failed.",
            (Query(rate("headgate_commands_total", "outcome"), "{{outcome}}"),),
            "short",
            stacked=True,
            colours=OUTCOMES,
            needs=Needs.FACTS,
        ),
        Graph(
            "Duration of commands, 99 %",
            "Time from a command to its accepted fact, by command. It includes the append and the read-back.",
            (Query(quantile(0.99, "headgate_command_duration_seconds", "command"), "{{command}}"),),
            "s",
            needs=Needs.TWICE,
        ),
        Graph(
            "Refusals",
            "Refused commands in five minutes, by rule. A sudden rise: see the runbook HeadgateRefusals.",
            (Query(count("headgate_refusals_total", "code", over="5m"), "{{code}}"),),
            "short",
            needs=Needs.REFUSED,
        ),
        Graph(
            "Refused by the rate limit",
            "Requests per second above a caller's rate limit, by gRPC service.",
            (Query(f"{rate('headgate_rate_limited_total', 'door')} or vector(0)", "{{door}}"),),
            "reqps",
        ),
        Graph(
            "Refused callers",
            "Calls per second whose caller has not proven who it is, or may not make them, by the reason. The lines of "
            "the logger headgate.audit name the caller.",
            (Query(f"{rate('headgate_access_refusals_total', 'why')} or vector(0)", "{{why}}"),),
            "reqps",
        ),
        Graph(
            "Dead letters over time",
            "Buried in five minutes, by topic and reason: see the runbook HeadgateDeadLetters.",
            (
                Query(
                    f"{count('headgate_dead_letters_total', 'topic, code', over='5m')} or vector(0)",
                    "{{topic}} {{code}}",
                ),
            ),
            "short",
            limits=((1, RED),),
        ),
        Graph(
            "Void records over time",
            "Per second, by service. All services see the same records.",
            (Query(rate("headgate_void_records_total", "service"), "{{service}}"),),
            "short",
        ),
    ),
)

VIEW = Row(
    "The view in Redis",
    (
        Graph(
            "Facts not shown yet",
            "Accepted facts that the view does not reflect yet. Normally it follows within a second.",
            (Query(f"max by (instance) (headgate_view_lag_records{{{SERVICE}}})", "{{instance}}"),),
            "short",
            needs=Needs.REDIS,
        ),
        Graph(
            "Lists by source",
            "Lists answered per second from the view and from the fold. If all come from the fold, the view is down.",
            (Query(rate("headgate_view_reads_total", "source"), "{{source}}"),),
            "reqps",
            needs=Needs.LISTS,
        ),
        Number(
            "Rebuilds",
            "Rebuilds of the view in the chosen time, by reason. One rebuild at a start is normal.",
            (Query(f"{count('headgate_view_rebuilds_total', 'reason')} or vector(0)", "{{reason}}"),),
            "short",
            width=8,
            base=BLUE,
            decimals=0,
            tall=True,
        ),
    ),
)

PAGE = Page(
    "log",
    "Log",
    "Do all readers keep up with the log, and what was refused, void or buried?",
    (NOW, READERS, FACTS, COMMANDS, VIEW),
)
