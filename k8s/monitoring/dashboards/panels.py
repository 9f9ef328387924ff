"""The look of the panels: legends, tooltips, colours and thresholds are set here, so that all panels look alike."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import assert_never

from grafana_foundation_sdk.builders import common as common_builders
from grafana_foundation_sdk.builders import dashboard as dashboard_builders
from grafana_foundation_sdk.builders import prometheus, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common, dashboard
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from k8s.monitoring.dashboards.needs import Needs

DATASOURCE = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, AMBER, RED, BLUE, GREY = "green", "orange", "red", "blue", "text"

Steps = tuple[tuple[float, str], ...]
"""Pairs of a value and the colour from that value on. Below the first value the colour is green."""

ARMS: Mapping[str, str] = {"stable": BLUE, "candidate": AMBER}
OUTCOMES: Mapping[str, str] = {"ok": GREEN, "accepted": GREEN, "bad": RED, "error": "dark-red", "failed": "dark-red"}
"""The colours of series, by the start of their names, so that the same thing looks the same everywhere."""


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and the legend of its series."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Graph:
    """Lines over time."""

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str
    width: int = 8
    limits: Steps = ()
    stacked: bool = False
    stepped: bool = False
    logarithmic: bool = False
    most: float | None = None
    colours: Mapping[str, str] = field(default_factory=dict)
    needs: Needs = Needs.NOTHING


@dataclass(frozen=True, slots=True)
class Number:
    """The present value of each series, coloured by its limits."""

    title: str
    description: str
    queries: tuple[Query, ...]
    unit: str
    width: int = 4
    base: str = GREEN
    limits: Steps = ()
    names: Mapping[float, tuple[str, str]] | None = None
    decimals: int | None = None
    empty: str = "none"
    labels_only: bool = False
    tall: bool = False
    needs: Needs = Needs.NOTHING


@dataclass(frozen=True, slots=True)
class Listing:
    """The labels of each series as a row."""

    title: str
    description: str
    query: str
    columns: Mapping[str, str]
    value: str = ""
    decimals: int = 0
    width: int = 12
    needs: Needs = Needs.NOTHING


@dataclass(frozen=True, slots=True)
class Timeline:
    """The state of each series over time, as coloured bars."""

    title: str
    description: str
    queries: tuple[Query, ...]
    names: Mapping[float, tuple[str, str]]
    width: int = 24
    needs: Needs = Needs.NOTHING


Panel = Graph | Number | Listing | Timeline
AnyBuilder = timeseries.Panel | stat.Panel | table.Panel | statetimeline.Panel
Targets = list[Builder[Dataquery]]

HEIGHTS = {Graph: 8, Number: 4, Listing: 8, Timeline: 6}


def build(panel: Panel, number: int) -> AnyBuilder:
    """The panel in Grafana's format. `number` is its id in the dashboard."""
    match panel:
        case Graph():
            builder: AnyBuilder = _graph(panel)
        case Number():
            builder = _number(panel)
        case Listing():
            builder = _listing(panel)
        case Timeline():
            builder = _timeline(panel)
        case _:
            assert_never(panel)
    described = panel.description if panel.needs is Needs.NOTHING else f"{panel.description} {panel.needs.value}"
    builder.id(number).title(panel.title).description(described).datasource(DATASOURCE)
    tall = isinstance(panel, Number) and panel.tall
    return builder.span(panel.width).height(HEIGHTS[Graph if tall else type(panel)])


def _graph(panel: Graph) -> timeseries.Panel:
    builder = (
        timeseries.Panel()
        .targets(_over_time(panel.queries))
        .unit(panel.unit)
        .legend(_legend())
        .tooltip(_tooltip())
        .line_width(2)
        .fill_opacity(30 if panel.stacked else 8)
        .show_points(common.VisibilityMode.NEVER)
        .span_nulls(False)
        .thresholds(_thresholds(panel.limits, GREEN))
    )
    if panel.limits:
        dashed = common_builders.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        builder.thresholds_style(dashed)
    if panel.stacked:
        builder.stacking(common_builders.StackingConfig().mode(common.StackingMode.NORMAL))
    if panel.stepped:
        builder.line_interpolation(common.LineInterpolation.STEP_AFTER)
    if panel.logarithmic:
        scale = common_builders.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10)
        builder.scale_distribution(scale)
    else:
        builder.axis_soft_min(0)
    if panel.most is not None:
        builder.max(panel.most)
    for beginning, colour in panel.colours.items():
        builder.override_by_regexp(f"/^{beginning}/", [_fixed(colour)])
    return builder


def _number(panel: Number) -> stat.Panel:
    builder = (
        stat.Panel()
        .targets(_now(panel.queries))
        .unit(panel.unit)
        .reduce_options(common_builders.ReduceDataOptions().calcs(["lastNotNull"]))
        .graph_mode(common.BigValueGraphMode.NONE)
        .color_mode(common.BigValueColorMode.BACKGROUND)
        .text_mode(common.BigValueTextMode.NAME if panel.labels_only else common.BigValueTextMode.VALUE_AND_NAME)
        .thresholds(_thresholds(panel.limits, panel.base))
        .no_value(panel.empty)
    )
    if panel.names:
        builder.mappings([_mapping(panel.names)])
    if panel.decimals is not None:
        builder.decimals(panel.decimals)
    return builder


def _listing(panel: Listing) -> table.Panel:
    hidden = {"Time": True, **({} if panel.value else {"Value": True})}
    names = {**panel.columns, **({"Value": panel.value} if panel.value else {})}
    order = {column: position for position, column in enumerate(names)}
    organised = {"excludeByName": hidden, "indexByName": order, "renameByName": names}
    target = prometheus.Dataquery().expr(panel.query).ref_id("A").instant().format(PromQueryFormat.TABLE)
    return (
        table.Panel()
        .targets([target])
        .unit("none")
        .decimals(panel.decimals)
        .with_transformation(dashboard.DataTransformerConfig(id_val="organize", options=organised))
    )


def _timeline(panel: Timeline) -> statetimeline.Panel:
    return (
        statetimeline.Panel()
        .targets(_over_time(panel.queries))
        .mappings([_mapping(panel.names)])
        .thresholds(_thresholds((), GREY))
        .legend(common_builders.VizLegendOptions().show_legend(True).display_mode(common.LegendDisplayMode.LIST))
        .tooltip(_tooltip())
        .merge_values(True)
        .show_value(common.VisibilityMode.AUTO)
        .fill_opacity(80)
    )


def _over_time(queries: tuple[Query, ...]) -> Targets:
    return [_query(query, position).range() for position, query in enumerate(queries)]


def _now(queries: tuple[Query, ...]) -> Targets:
    return [_query(query, position).instant() for position, query in enumerate(queries)]


def _query(query: Query, position: int) -> prometheus.Dataquery:
    return prometheus.Dataquery().expr(query.expr).legend_format(query.legend).ref_id(chr(ord("A") + position))


def _legend() -> common_builders.VizLegendOptions:
    return (
        common_builders.VizLegendOptions()
        .show_legend(True)
        .display_mode(common.LegendDisplayMode.TABLE)
        .placement(common.LegendPlacement.BOTTOM)
        .calcs(["lastNotNull", "max"])
    )


def _tooltip() -> common_builders.VizTooltipOptions:
    return common_builders.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)


def _thresholds(limits: Steps, base: str) -> dashboard_builders.ThresholdsConfig:
    steps = [dashboard.Threshold(value=None, color=base)]
    steps += [dashboard.Threshold(value=value, color=colour) for value, colour in limits]
    return dashboard_builders.ThresholdsConfig().mode(dashboard.ThresholdsMode.ABSOLUTE).steps(steps)


def _mapping(names: Mapping[float, tuple[str, str]]) -> dashboard.ValueMap:
    options = {
        f"{value:g}": dashboard.ValueMappingResult(text=text, color=colour, index=position)
        for position, (value, (text, colour)) in enumerate(names.items())
    }
    return dashboard.ValueMap(options=options)


def _fixed(colour: str) -> dashboard.DynamicConfigValue:
    return dashboard.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})
