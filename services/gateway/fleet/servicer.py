"""Answers devices: routes, files and reports. It runs on the event loop of the gateway's servers."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import grpc

from headgate.domain.names import is_replica_name
from headgate.domain.state import ModelState
from headgate.domain.words import counted
from headgate.runtime.errors import RpcRefused
from headgate.telemetry.rules import flaw_of_device
from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import edge_service_pb2_grpc as edge_grpc
from services.gateway.fleet.catalogue import Catalogue
from services.gateway.fleet.claims import OUTCOME_NAMES, TAKEN, answer_to
from services.gateway.fleet.devices import Devices
from services.gateway.fleet.identity import require_named
from services.gateway.fleet.report_writer import Claim, ReportWriter
from services.gateway.fleet.roster import MAX_PAGE_DEVICES, Roster, every_model
from services.gateway.fleet.shared_blobs import SharedBlobs

SIGN_OF_LIFE_SECONDS = 10.0
PROMISE_FACTOR = 3
"""A watch is broken after so many missing signs of life."""
MAX_MODELS = 1_000
MAX_TOTALS = 256
MAX_ROUTES = 10_000
PART_BYTES = 256 << 10
PART_SECONDS = 60.0
"""How long a device may take to receive one part of a file. A broken read goes on where it ended."""
REPORT_SECONDS = 5.0
SECONDS_PER_DEVICE = 0.01
"""Each device reports less often the more devices follow this gateway: about 100 reports come in a second at most."""

Context = grpc.aio.ServicerContext[Any, Any]


class EdgeServicer(edge_grpc.EdgeServiceServicer):
    """The streams write to their context and return at the end."""

    def __init__(
        self,
        catalogue: Catalogue,
        blobs: SharedBlobs,
        devices: Devices,
        writer: ReportWriter,
        states: Callable[[], AbstractContextManager[Mapping[str, ModelState]]],
        log_silent_seconds: Callable[[], float],
        sign_of_life_seconds: float = SIGN_OF_LIFE_SECONDS,
        report_seconds: float = REPORT_SECONDS,
        callers_have_certificates: bool = False,
    ) -> None:
        """Where callers have certificates, each speaks only for the device that its certificate names."""
        self._catalogue = catalogue
        self._blobs = blobs
        self._devices = devices
        self._writer = writer
        self._states = states
        self._log_silent_seconds = log_silent_seconds
        self._sign_of_life_seconds = sign_of_life_seconds
        self._report_seconds = report_seconds
        self._callers_have_certificates = callers_have_certificates
        self._roster = Roster()

    async def WatchRoutes(self, request: edge.WatchRoutesRequest, context: Context) -> None:  # type: ignore[override]
        self._require_known(request.environment, request.device, context)
        if len(request.models) > MAX_MODELS:
            raise _invalid(f"{len(request.models)} models are named; at most {MAX_MODELS} are allowed", "models")
        models, token = frozenset(request.models), request.resume_token
        with self._devices.watch(), self._following(request.device):
            while not self._catalogue.is_closed:
                revision = self._catalogue.revision
                token = await self._send_routes(context, models, token)
                await self._catalogue.wait_change(revision, self._sign_of_life_seconds)
        raise RpcRefused(grpc.StatusCode.UNAVAILABLE, "draining", "this gateway is about to end", "", 0.5)

    async def ReadArtifact(self, request: edge.ReadArtifactRequest, context: Context) -> None:  # type: ignore[override]
        self._require_known(request.environment, request.device, context)
        size = self._catalogue.size_of(request.sha256)
        if size is None:
            rule = f"no route of {request.environment} names the file {request.sha256!r}"
            raise RpcRefused(grpc.StatusCode.NOT_FOUND, "unknown-file", rule, "sha256")
        async with self._blobs.reading(request.sha256, size) as data:
            if not 0 <= request.offset <= len(data):
                raise _invalid(f"offset is {request.offset}: the file has {counted(len(data), 'byte')}", "offset")
            for start in range(request.offset, max(len(data), request.offset + 1), PART_BYTES):
                part = edge.ReadArtifactResponse(part=bytes(data[start : start + PART_BYTES]), size_bytes=len(data))
                await asyncio.wait_for(context.write(part), PART_SECONDS)

    async def ReportDevice(self, request: edge.ReportDeviceRequest, context: Context) -> edge.ReportDeviceResponse:
        self._require_known(request.environment, request.device, context)
        if flaw := flaw_of_device(request.device, request.incarnation):
            raise _invalid(flaw, "incarnation")
        if len(request.totals) > MAX_TOTALS or len(request.routes) > MAX_ROUTES:
            raise _invalid(f"at most {MAX_TOTALS} totals and {MAX_ROUTES} routes are allowed in one report", "totals")
        self._devices.note(request.device, request.routes)
        self._roster.report(request, time.monotonic())
        answers = self._answers(request)
        taken = [totals for totals, answer in zip(request.totals, answers, strict=True) if answer.outcome == TAKEN]
        claims = [Claim(request.device, request.incarnation, totals) for totals in taken]
        await asyncio.wrap_future(self._writer.put(claims))
        for answer in answers:
            self._devices.count(OUTCOME_NAMES[answer.outcome])
        after_seconds = max(self._report_seconds, self._devices.watching * SECONDS_PER_DEVICE)
        return edge.ReportDeviceResponse(answers=answers, report_after_ms=int(after_seconds * 1000))

    async def ListDevices(self, request: edge.ListDevicesRequest, context: Context) -> edge.ListDevicesResponse:
        self._require_environment(request.environment)
        if request.page_size < 0:
            raise _invalid(f"page_size is {request.page_size}: it must be 0 to {MAX_PAGE_DEVICES}", "page_size")
        # Where nobody asks who calls, everybody may read all.
        return self._roster.page(request, time.monotonic(), getattr(context, "may_read", every_model))

    @contextmanager
    def _following(self, device: str) -> Iterator[None]:
        self._roster.follow(device, time.monotonic())
        try:
            yield
        finally:
            self._roster.leave(device, time.monotonic())

    def _answers(self, request: edge.ReportDeviceRequest) -> list[edge.TotalsAnswer]:
        environment = request.environment
        if not request.totals:
            return []
        with self._states() as states:
            return [answer_to(each, request.device, states.get(each.model), environment) for each in request.totals]

    async def _send_routes(self, context: Context, models: frozenset[str], token: str) -> str:
        """Sends the routes if the device lacks them. Returns the token of what it has then."""
        published = self._catalogue.published(models)
        response = edge.WatchRoutesResponse(
            resume_token=token if published is None else published.token,
            log_silent_ms=int(self._log_silent_seconds() * 1000),
            next_within_ms=int(self._sign_of_life_seconds * PROMISE_FACTOR * 1000),
        )
        if published is not None and published.token != token:
            response.routes.CopyFrom(published.routes)
        await context.write(response)
        return response.resume_token

    def _require_known(self, environment: str, device: str, context: Context) -> None:
        self._require_environment(environment)
        if not is_replica_name(device):
            raise _invalid(flaw_of_device(device, "-"), "device")
        if self._callers_have_certificates:
            require_named(device, context.auth_context())

    def _require_environment(self, environment: str) -> None:
        if environment != self._catalogue.environment:
            rule = f"this gateway serves {self._catalogue.environment}, not {environment!r}"
            raise RpcRefused(grpc.StatusCode.NOT_FOUND, "other-environment", rule, "environment")


def _invalid(rule: str, field: str) -> RpcRefused:
    return RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "invalid-argument", rule, field)
