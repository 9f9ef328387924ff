"""What people do in the console: each button sends one command in the name of whoever pressed it."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import release_service_pb2 as release_service
from services.portal.callers import CallRefused
from services.portal.forms import form_of, require_word
from services.portal.viewer import Viewer, Viewers

RELEASE_ACTIONS: Mapping[str, tuple[str, type[Any]]] = {
    "pause": ("PauseRelease", release_service.PauseReleaseRequest),
    "resume": ("ResumeRelease", release_service.ResumeReleaseRequest),
    "promote": ("PromoteRelease", release_service.PromoteReleaseRequest),
    "abort": ("AbortRelease", release_service.AbortReleaseRequest),
    "undo": ("UndoRelease", release_service.UndoReleaseRequest),
}
"""The last word of the address, the RPC and its request."""
VERSION_ACTIONS: Mapping[str, tuple[str, type[Any]]] = {
    "approve": ("ApproveVersion", registry_service.ApproveVersionRequest),
    "deny": ("DenyVersion", registry_service.DenyVersionRequest),
}
RELEASE_SERVICE = "/headgate.v1.ReleaseService/"
REGISTRY_SERVICE = "/headgate.v1.RegistryService/"
MAX_REASON = 1_000


@dataclass(frozen=True, slots=True)
class Action:
    """A button: its word in the address, what it says, and the command that does the same."""

    word: str
    label: str
    kind: str
    needs_reason: bool
    command: str


@dataclass(frozen=True, slots=True)
class Event:
    """One fact of a history: when, what, by whom."""

    time_ms: int
    text: str
    actor: str


class Commands(Protocol):
    """Sends commands."""

    def registry(self, viewer: Viewer, method: str, request: Any) -> Any:
        """Raises CallRefused."""
        ...

    def release(self, viewer: Viewer, method: str, request: Any) -> Any:
        """Raises CallRefused."""
        ...


def action_routes(viewers: Viewers, commands: Commands) -> list[BaseRoute]:
    """The routes of all buttons."""

    async def act(request: Request) -> Response:
        form = await form_of(request)
        viewer = await run_in_threadpool(viewers.viewer, request)
        if viewer is None:
            raise HTTPException(401, "sign in first")
        if not request.headers.get("authorization"):
            require_word(request, viewer.form_word, form)
        return await run_in_threadpool(_send, commands, viewer, request.path_params, form)

    return [Route("/models/{model}/{kind}/{number:int}/{action}", act, methods=["POST"])]


def _send(commands: Commands, viewer: Viewer, path: Mapping[str, Any], form: Mapping[str, str]) -> Response:
    actions, send = _KINDS.get(path["kind"], ({}, None))
    method, request_kind = actions.get(path["action"], ("", None))
    if request_kind is None or send is None:
        raise HTTPException(404)
    name = f"models/{path['model']}/{path['kind']}/{path['number']}"
    request = request_kind(name=name, reason=form.get("reason", "")[:MAX_REASON], request_id=str(uuid.uuid4()))
    try:
        send(commands, viewer, method, request)
    except CallRefused as error:
        raise HTTPException(409, str(error)) from error
    return RedirectResponse(f"/{name}", 303)


_KINDS: Mapping[str, tuple[Mapping[str, tuple[str, type[Any]]], Callable[..., Any]]] = {
    "releases": (RELEASE_ACTIONS, lambda commands, *call: commands.release(*call)),
    "versions": (VERSION_ACTIONS, lambda commands, *call: commands.registry(*call)),
}
