"""What all dashboards have: variables, links to the other dashboards, and markers for the events of releases."""

from collections.abc import Iterator
from dataclasses import dataclass

from grafana_foundation_sdk.builders import dashboard as builders
from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.builders.dashboard import AnnotationQuery, Dashboard, DatasourceVariable, QueryVariable
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import dashboard

from k8s.monitoring.dashboards.panels import AMBER, BLUE, DATASOURCE, RED, Panel, build
from k8s.monitoring.dashboards.promql import RELEASED, count

TAG = "headgate"
SCHEMA_VERSION = 39
"""The schema version of classic dashboards. Grafana 11 reads it unchanged, and later versions convert it."""

MARKER_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """One dashboard."""

    name: str
    title: str
    description: str
    rows: tuple[Row, ...]
    one_model: bool = False
    """Whether it shows only one model and one environment at a time."""


def panels_of(page: Page) -> Iterator[Panel]:
    """The page's panels, row by row."""
    return (panel for row in page.rows for panel in row.panels)


def render(page: Page) -> dashboard.Dashboard:
    """The dashboard in Grafana's format."""
    builder = (
        Dashboard(f"Headgate / {page.title}")
        .uid(f"headgate-{page.name}")
        .description(page.description)
        .tags([TAG])
        .timezone("browser")
        .refresh("10s")
        .time("now-1h", "now")
        .tooltip(dashboard.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .variables(_variables(page.one_model))
        .link(_siblings())
        .annotations(_markers())
    )
    number = 0
    for row in page.rows:
        number += 1
        builder.with_row(builders.Row(row.title).id(number))
        for panel in row.panels:
            number += 1
            builder.with_panel(build(panel, number))
    rendered = builder.build()
    rendered.schema_version = SCHEMA_VERSION
    return rendered


def _variables(one_model: bool) -> list[Builder[dashboard.VariableModel]]:
    return [
        DatasourceVariable("datasource").label("Data source").type("prometheus"),
        _variable("environment", "Environment", "label_values(headgate_gateways_live, environment)", one_model),
        _variable("model", "Model", "label_values(headgate_version_live_info, model)", one_model),
        _variable("service", "Service", 'label_values(up{job="headgate"}, service)'),
    ]


def _variable(name: str, label: str, query: str, one: bool = False) -> QueryVariable:
    variable = (
        QueryVariable(name)
        .label(label)
        .datasource(DATASOURCE)
        .query(query)
        .definition(query)
        .refresh(dashboard.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(dashboard.VariableSort.ALPHABETICAL_ASC)
        .multi(not one)
        .include_all(not one)
    )
    if not one:
        variable.all_value(".*").current(dashboard.VariableOption(text="All", value="$__all", selected=True))
    return variable


def _siblings() -> builders.DashboardLink:
    return (
        builders.DashboardLink("Headgate")
        .type(dashboard.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(False)
        .include_vars(True)
        .keep_time(True)
    )


FORWARD = "ReleaseStarted|WeightsSet|PromotionStarted|ReleaseCompleted|ReleaseResumed"
PAUSED = "ReleasePaused"
BACK = "RollbackStarted|ReleaseRolledBack"


def _markers() -> list[Builder[dashboard.AnnotationQuery]]:
    return [
        _marker("Release moves forward", BLUE, FORWARD),
        _marker("Release is paused", AMBER, PAUSED),
        _marker("Release is rolled back", RED, BACK),
    ]


def _marker(name: str, colour: str, events: str) -> AnnotationQuery:
    """A marker at each minute in which a release had one of these events."""
    where = f'{RELEASED}, event=~"{events}"'
    over = f"{MARKER_SECONDS}s"
    events_counted = count("headgate_release_events_total", "environment, model, event", where, over, many="max")
    return (
        AnnotationQuery()
        .name(name)
        .datasource(DATASOURCE)
        .enable(True)
        .icon_color(colour)
        .target(prometheus.Dataquery().expr(f"{events_counted} > 0").interval(over).ref_id("Anno"))
        .title_format("{{model}}: {{event}}")
        .text_format("{{event}} of {{model}} in {{environment}}")
        .tag_keys("model,event,environment")
    )
