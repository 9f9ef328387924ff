"""What people do in the console: each button sends one command in the name of whoever pressed it."""

import uuid
from collections.abc import Mapping
from typing import Any, Protocol

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

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
RELEASE_SERVICE = "/headgate.v1.ReleaseService/"
MAX_REASON = 1_000


class Commands(Protocol):
    """Sends commands."""

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

    return [Route("/models/{model}/releases/{release:int}/{action}", act, methods=["POST"])]


def _send(commands: Commands, viewer: Viewer, path: Mapping[str, Any], form: Mapping[str, str]) -> Response:
    method, kind = RELEASE_ACTIONS.get(path["action"], ("", None))
    if kind is None:
        raise HTTPException(404)
    name = f"models/{path['model']}/releases/{path['release']}"
    # The page makes the id with the form, so a form that is sent twice is one request.
    request_id = form.get("request_id") or str(uuid.uuid4())
    request = kind(name=name, reason=form.get("reason", "")[:MAX_REASON], request_id=request_id)
    try:
        commands.release(viewer, method, request)
    except CallRefused as error:
        raise HTTPException(409, str(error)) from error
    return RedirectResponse(f"/{name}", 303)
