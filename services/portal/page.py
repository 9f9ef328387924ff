"""What a page is: a path, a template, and a pure function that makes what the template shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from services.portal.sources import Sources
from services.portal.viewer import Viewer
from services.portal.world import World


class NoSuchPage(Exception):
    """The address names something that is not there, or that its caller may not see. The message says which."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a page: the state, who looks, the names in the path, the fields of the query, what was gathered."""

    world: World
    viewer: Viewer
    path: Mapping[str, Any]
    query: Mapping[str, str]
    gathered: Any = None


def no_such(what: str, world: World) -> NoSuchPage:
    """The error for something, such as `version 3 of fraud`, that is not there at the moment that is shown."""
    return NoSuchPage(f"there is no {what}" + (" yet" if world.is_past else ""))


def nothing(sources: Sources, look: Look) -> None:
    """For a page that needs the folded state alone."""


def every_stream(path: Mapping[str, Any]) -> str:
    """For a page about all models."""
    return ""


@dataclass(frozen=True, slots=True)
class Page:
    """`model` is pure and is called under the lock of the fold. Raises NoSuchPage.

    `gather` is called before, without the lock, and may read the log and ask the deployer; its answer is in the look.
    `stream` names the stream whose facts the slider goes through. The template extends `layout` and shows the model as
    `page`. It is sent again when the state has changed, and at the latest after `most_seconds`.
    """

    path: str
    template: str
    model: Callable[[Look], Any]
    gather: Callable[[Sources, Look], Any] = nothing
    stream: Callable[[Mapping[str, Any]], str] = every_stream
    most_seconds: float = field(default=10.0)
