"""Who looks at a page: what that caller sees, and which commands it may send. The services ask the same table again."""

from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from headgate.access.decision import decide
from headgate.access.subject import Subject
from headgate.access.table import row_of
from headgate.access.target import target_of
from headgate.access.visibility import WHOLE, Visibility, visibility_of
from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.call_check import CallCheck, Known, Shown
from services.portal.sessions import Session, Sessions

SCHEME = "Bearer "
LIST_MODELS = "/headgate.v1.RegistryService/ListModels"
EVERYBODY = "everybody on this machine"
"""The name that a page shows where callers need not prove who they are."""


@dataclass(frozen=True, slots=True)
class Viewer:
    """One caller at one moment. Without a subject callers need not prove who they are, and may do everything."""

    subject: Subject | None
    visibility: Visibility = WHOLE
    token: str = ""
    form_word: str = ""
    """The word that a form must repeat."""
    known: Known | None = None

    @property
    def name(self) -> str:
        return self.subject.name if self.subject else EVERYBODY

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for viewers who are shown the same pages."""
        return (self.subject, self.visibility)

    def sees(self, model: str) -> bool:
        """Whether this caller may read the model now, by the labels that it has now: on pages of the past too."""
        asks = self.known is not None and self.visibility.looks_at_labels
        return self.visibility.shows(model, self.known.labels(model) if asks and self.known else {})

    def may(self, method: str, request: Any) -> bool:
        """Whether this caller may make the call with this request now."""
        if self.subject is None or self.known is None:
            return True
        row = row_of(method)
        return decide(self.subject, self.known.grants(), row, target_of(row, request, self.known)) is None


class Viewers:
    """Finds the viewer of a request: by its header authorization, or by the session of its cookie."""

    def __init__(self, check: CallCheck | None, sessions: Sessions, is_encrypted: bool) -> None:
        self.check, self.sessions = check, sessions
        self.cookie = "__Host-headgate" if is_encrypted else "headgate"
        self.is_encrypted = is_encrypted

    @property
    def is_open(self) -> bool:
        """Whether callers need not prove who they are."""
        return self.check is None

    def session(self, request: Request) -> Session | None:
        """The session that the browser names."""
        return self.sessions.find(request.cookies.get(self.cookie, ""))

    def viewer(self, request: Request) -> Viewer | None:
        """Who looks; None for somebody who has yet to sign in. It may wait for an identity provider."""
        authorization = request.headers.getlist("authorization")
        if authorization:
            return self.proven(authorization[0].removeprefix(SCHEME), request)
        session = self.session(request)
        if self.check is None:
            return Viewer(None, form_word=session.form_word if session else "")
        return self.proven(session.newest_token(), request, session.form_word) if session else None

    def proven(self, token: str, request: Request, form_word: str = "") -> Viewer | None:
        """The viewer with this token; None when it proves nothing."""
        if self.check is None:
            return Viewer(None)
        try:
            subject = self.check.proof(_shown(request, token)).subject
        except RpcRefused:
            return None
        visibility = visibility_of(subject, self.check.known.grants(), row_of(LIST_MODELS))
        return Viewer(subject, visibility, token, form_word, self.check.known)

    def refused(self, request: Request, why: str) -> None:
        """Counts a sign-in that proves nothing, and writes the line of the audit log."""
        if self.check is not None:
            self.check.refused(_shown(request, ""), None, why)


def _shown(request: Request, token: str) -> Shown:
    return Shown(f"console {request.url.path}", [SCHEME + token], (), lambda: peer_of(request))


def peer_of(request: Request) -> str:
    """Where the request comes from, for the audit log."""
    return f"{request.client.host}:{request.client.port}" if request.client else ""
