"""The parts of PromQL that panels use: selectors, rates, counts, quantiles and ratios."""

from typing import Literal

ENVIRONMENT = 'environment=~"$environment"'
MODEL = 'model=~"$model"'
RELEASED = f"{ENVIRONMENT}, {MODEL}"
SERVICE = 'job="headgate", service=~"$service"'
DEPLOYER = f'job="headgate", {ENVIRONMENT}'

FAULTS = 'code=~"UNKNOWN|INTERNAL|UNAVAILABLE|DATA_LOSS|DEADLINE_EXCEEDED"'
"""Statuses that report a fault of the service, not of its caller."""

SMOOTH = "$__rate_interval"
WHOLE_RANGE = "$__range"


def rate(metric: str, by: str, where: str = SERVICE, over: str = SMOOTH) -> str:
    """Events per second, for frequent events."""
    return f"sum by ({by}) (rate({metric}{{{where}}}[{over}]))"


def count(
    metric: str, by: str, where: str = SERVICE, over: str = WHOLE_RANGE, many: Literal["sum", "max"] = "sum"
) -> str:
    """The number of events within `over`, for rare events. Use max when every replica counts the same from the log.

    A counter with labels starts with its first event, and `increase` does not see that one. So a series that is
    younger than `over` counts in full.
    """
    series = f"{metric}{{{where}}}"
    return f"{many} by ({by}) ((increase({series}[{over}]) and {series} offset {over}) or {series})"


def quantile(portion: float, histogram: str, by: str, where: str = SERVICE, over: str = SMOOTH) -> str:
    """The duration that this portion of the events does not exceed."""
    return f"histogram_quantile({portion:g}, {rate(f'{histogram}_bucket', f'{by}, le'.lstrip(', '), where, over)})"


def typical(portion: float, histogram: str, by: str, where: str) -> str:
    """Like `quantile`, for rare events and over the chosen time. Without events it gives no value."""
    return f"{quantile(portion, histogram, by, where, WHOLE_RANGE)} >= 0"


def share(part: str, whole: str) -> str:
    """The ratio of two sums over the same labels; 0 where only the whole has a value."""
    return f"({part} or 0 * {whole}) / ({whole} > 0)"


def in_environment(expr: str) -> str:
    """A gateway expression, limited to the gateways of the environment. Only one series of a gateway names it."""
    return f"{expr} * on (job, instance) group_left (environment) headgate_gateway_info{{{ENVIRONMENT}}}"
