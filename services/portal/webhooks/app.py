"""The HTTP side of webhooks: bounded bytes in, an event of the inbox or a clear refusal out."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from headgate.domain.state import ModelState
from headgate.log.envelope import encode
from headgate.log.port import EventLog, LogError, Message
from headgate.log.topics import INBOX
from headgate.runtime.observability.trace_context import HEADER as TRACE_PARENT
from headgate.runtime.observability.work_log import current_trace_parent, note, set_outcome, unit_of_work
from headgate.runtime.rpc.rate_limit import LocalBuckets, Rate
from headgate.v1 import facts_pb2 as facts
from services.portal.bodies import BODY_SECONDS, BodyTooLarge, BodyTooSlow, whole_body
from services.portal.webhooks.decision import Said, decide, proven
from services.portal.webhooks.delivery import Delivery, Nothing, Refused
from services.portal.webhooks.mapping import Repository, Taken
from services.portal.webhooks.secret_files import SecretFiles
from services.portal.webhooks.signatures import PROOFS, UNPROVEN

PREFIX = "/webhooks"
MAX_BODY_BYTES = 8 << 20
MAX_AT_ONCE = 16
"""How many deliveries are read and decided at once; with the size of a body it bounds the memory."""
MAX_OF_ONE = 8
"""How many of these may be to one address; those without a secret count as one. So none keeps others out."""
RATE = Rate(per_second=20.0, burst=100)
"""Proven deliveries to one address. All unproven ones, to whatever address, share one."""
RETRY_SECONDS = 5

OpenModels = Callable[[], AbstractContextManager[Mapping[str, ModelState]]]
"""Gives the models as they are now, and holds the lock of their fold meanwhile."""


class Webhooks:
    """Takes deliveries at /webhooks/SENDER/SECRET, where SECRET is the name of a secret."""

    def __init__(self, models: OpenModels, secrets: SecretFiles, log: EventLog, now_ms: Callable[[], int]) -> None:
        self._models, self._secrets, self._log, self._now_ms = models, secrets, log, now_ms
        self._buckets = LocalBuckets(RATE)
        self._busy: Counter[str] = Counter()
        self._declared: dict[str, list[Repository]] | None = None

    def note(self, fact: object) -> None:
        """Learns of an accepted fact: what was declared is read anew when it has changed."""
        if isinstance(fact, facts.RepositoryAdded | facts.RepositoryRemoved):
            self._declared = None

    def routes(self) -> list[BaseRoute]:
        """The route of all senders."""
        return [Route(PREFIX + "/{sender}/{secret}", self._answer, methods=["POST"])]

    async def _answer(self, request: Request) -> Response:
        try:
            return await self._taken(request)
        except Refused as refused:
            headers = {"retry-after": str(RETRY_SECONDS)} if refused.http in (429, 503) else None
            return JSONResponse({"code": refused.slug, "message": refused.rule}, refused.http, headers)
        except ClientDisconnect:
            return Response(status_code=400)

    async def _taken(self, request: Request) -> Response:
        sender, name = request.path_params["sender"], request.path_params["secret"]
        if sender not in PROOFS:
            raise Refused(404, "unknown-sender", f"expected /webhooks/SENDER/SECRET with one of {', '.join(PROOFS)}")
        secrets = self._secrets.find(name)
        address = name if secrets else ""
        if self._busy.total() >= MAX_AT_ONCE or self._busy[address] >= MAX_OF_ONE:
            raise Refused(503, "busy", "too many deliveries at once: send this one again")
        self._busy[address] += 1
        try:
            delivery = Delivery(_headers(request), await _body(request), self._now_ms())
            return await run_in_threadpool(self._decided, sender, name, delivery, secrets)
        finally:
            self._busy[address] -= 1

    def _require_rate(self, bucket: str) -> None:
        wait = self._buckets.take(bucket)
        if wait > 0:
            raise Refused(429, "rate-limited", f"too many deliveries to this address: wait {math.ceil(wait)} s")

    def _proven(self, sender: str, name: str, delivery: Delivery, secrets: Sequence[str]) -> Said | Refused:
        """What it says, or why it is refused. Raises Refused when there are too many.

        Whoever knows no secret uses up the rate of no address, and learns of no name whether it has a secret.
        """
        try:
            said: Said | Refused = proven(sender, delivery, secrets)
        except Refused as refused:
            said = refused
        is_unproven = isinstance(said, Refused) and said.slug == UNPROVEN
        self._require_rate("" if is_unproven else name)
        return said

    def _decided(self, sender: str, name: str, delivery: Delivery, secrets: Sequence[str]) -> Response:
        """Decides one delivery and appends its events, as a unit of work."""
        said = self._proven(sender, name, delivery, secrets)
        with unit_of_work("webhook", sender, delivery.header(TRACE_PARENT), secret=name if secrets else ""):
            try:
                if isinstance(said, Refused):
                    raise said
                with self._models() as models:
                    outcomes = decide(said, self._declared_with(name, models), models, delivery.at_ms)
            except Refused as refused:
                set_outcome("refused", refused.slug)
                raise
            found = [each for each in outcomes if isinstance(each, Taken)]
            self._append(found)
            note(events=len(found))
            return _accepted(found, [each.why for each in outcomes if isinstance(each, Nothing)])

    def _declared_with(self, name: str, models: Mapping[str, ModelState]) -> Sequence[Repository]:
        """What was declared with the secret of this name. The caller holds the lock of the fold."""
        if self._declared is None:
            self._declared = repositories_by_secret(models)
        return self._declared.get(name, ())

    def _append(self, found: Sequence[Taken]) -> None:
        trace = current_trace_parent()
        extra = ((TRACE_PARENT, trace.encode()),) if trace else ()
        try:
            for each in found:
                headers, value = encode(each.event)
                key = each.model or each.event.source
                self._log.append(Message(INBOX, key.encode(), value, (*headers, *extra)))
        except LogError as error:
            set_outcome("refused", "log-unavailable")
            raise Refused(503, "log-unavailable", "the log takes no events now: send this delivery again") from error


def repositories_by_secret(models: Mapping[str, ModelState]) -> dict[str, list[Repository]]:
    """What was declared, by the name of the secret."""
    found: dict[str, list[Repository]] = {}
    for name, state in models.items():
        for each in state.model.repositories:
            found.setdefault(each.secret, []).append(Repository(name, each.repository, each.branch, each.secret))
    return found


def _accepted(found: Sequence[Taken], ignored: Sequence[str]) -> Response:
    events = [
        {
            "id": each.event.id,
            "source": each.event.source,
            **({"model": each.model} if each.model else {}),
            **({"commit": each.commit} if each.commit else {}),
            **({"forced": True} if each.is_forced else {}),
        }
        for each in found
    ]
    return JSONResponse({"events": events, "ignored": list(ignored)}, 202 if events else 200)


def _headers(request: Request) -> dict[str, str]:
    """The headers by their names in small letters, the first of several."""
    found: dict[str, str] = {}
    for name, value in request.headers.items():
        found.setdefault(name.lower(), value)
    return found


async def _body(request: Request) -> bytes:
    """The body, in at most MAX_BODY_BYTES and BODY_SECONDS. Raises Refused."""
    try:
        return await whole_body(request, MAX_BODY_BYTES)
    except BodyTooLarge:
        raise Refused(413, "too-large", f"a delivery may have {MAX_BODY_BYTES} bytes") from None
    except BodyTooSlow:
        raise Refused(408, "too-slow", f"the body took more than {BODY_SECONDS:g} s") from None
