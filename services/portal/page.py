"""What a page is: a path, a template, and a pure function that makes what the template shows."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from services.portal.viewer import Viewer
from services.portal.world import World


class NoSuchPage(Exception):
    """The address names something that is not there, or that its caller may not see. The message says which."""


@dataclass(frozen=True, slots=True)
class Look:
    """One look at a page: the state, who looks, the names in the path and the fields of the query."""

    world: World
    viewer: Viewer
    path: Mapping[str, Any]
    query: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Page:
    """`model` is pure and is called under the lock of the fold. Raises NoSuchPage.

    The template extends `layout` and shows the model as `page`. It is sent again when the state has changed.
    """

    path: str
    template: str
    model: Callable[[Look], Any]
