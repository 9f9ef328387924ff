"""PromQL as the panels write it: who is meant, how fast, how many, how long."""

from typing import Literal

ENVIRONMENT = 'environment=~"$environment"'
MODEL = 'model=~"$model"'
RELEASED = f"{ENVIRONMENT}, {MODEL}"
SERVICE = 'job="headgate", service=~"$service"'
DEPLOYER = f'job="headgate", {ENVIRONMENT}'

FAULTS = 'code=~"UNKNOWN|INTERNAL|UNAVAILABLE|DATA_LOSS|DEADLINE_EXCEEDED"'
"""Statuses that are the service's fault, not its caller's."""

SMOOTH = "$__rate_interval"
WHOLE_RANGE = "$__range"


def rate(metric: str, by: str, where: str = SERVICE, over: str = SMOOTH) -> str:
    """Per second, for what happens all the time."""
    return f"sum by ({by}) (rate({metric}{{{where}}}[{over}]))"


def count(
    metric: str, by: str, where: str = SERVICE, over: str = WHOLE_RANGE, many: Literal["sum", "max"] = "sum"
) -> str:
    """How many within `over`, for what happens seldom; max for what every replica counts from the log.

    A counter with labels is born with its first event, which `increase` cannot see: a series that is younger than
    `over` counts in full.
    """
    series = f"{metric}{{{where}}}"
    return f"{many} by ({by}) ((increase({series}[{over}]) and {series} offset {over}) or {series})"


def quantile(portion: float, histogram: str, by: str, where: str = SERVICE, over: str = SMOOTH) -> str:
    """The duration that this portion of what happens stays below."""
    return f"histogram_quantile({portion:g}, {rate(f'{histogram}_bucket', f'{by}, le'.lstrip(', '), where, over)})"


def typical(portion: float, histogram: str, by: str, where: str) -> str:
    """As `quantile`, of what happens seldom, over the chosen time; nothing where nothing happened."""
    return f"{quantile(portion, histogram, by, where, WHOLE_RANGE)} >= 0"


def share(part: str, whole: str) -> str:
    """A ratio of two sums over the same labels; 0 where there is a whole and no part."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def in_environment(expr: str) -> str:
    """What gateways say, limited to those of the environment, which they name in one series only."""
    return f"{expr} * on (job, instance) group_left (environment) headgate_gateway_info{{{ENVIRONMENT}}}"
