"""Log: the newest facts of all that the viewer may read, as they come, or up to a moment of the past."""

from collections.abc import Sequence
from dataclasses import dataclass

from headgate.client.timeline import describe
from headgate.domain.names import environment_stream, model_stream
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from services.portal.page import Look, Page
from services.portal.sources import Sources

LIST_HISTORY = "/headgate.v1.RegistryService/ListHistory"
MAX_SHOWN = 200
"""Facts on the page."""


@dataclass(frozen=True, slots=True)
class Line:
    """One fact: when, about what, what happened, and by whom."""

    time_ms: int
    subject: str
    url: str
    text: str
    actor: str


@dataclass(frozen=True, slots=True)
class LogPage:
    """What the page shows."""

    lines: Sequence[Line]
    search: str
    facts: int


def gather(sources: Sources, look: Look) -> Sequence[facts.LifecycleRecord]:
    """The newest facts of the streams that the viewer may read."""
    folded = look.world.folded
    with sources.reading(look.world):
        models = [model_stream(name) for name in folded.models if look.viewer.sees(name)]
        names = list(folded.environments)
    environments = [name for name in map(environment_stream, names) if _reads(look, name)]
    return sources.newest([*models, *environments], look.world.now_ms, MAX_SHOWN)


def log_page(look: Look) -> LogPage:
    """The newest fact first, those with the searched words alone."""
    search = look.query.get("search", "").strip()
    lines = [_line(record) for record in look.gathered]
    words = search.lower().split()
    found = [line for line in lines if all(word in _text(line) for word in words)]
    return LogPage(found, search, len(lines))


def _text(line: Line) -> str:
    return f"{line.subject} {line.text} {line.actor}".lower()


def _reads(look: Look, stream: str) -> bool:
    return look.viewer.may(LIST_HISTORY, registry_service.ListHistoryRequest(stream=stream))


def _line(record: facts.LifecycleRecord) -> Line:
    kind, _, name = record.stream.partition("/")
    url = f"/models/{name}" if kind == "models" else ""
    return Line(record.occurred_at_ms, name, url, describe(record), record.actor)


PAGE = Page("/log", "log.html", log_page, gather)
