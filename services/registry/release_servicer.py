"""ReleaseService: releases, environments, policies and freezes."""

from collections.abc import Iterator
from typing import Any

import grpc

from headgate.domain.names import environment_stream, model_stream, release_name
from headgate.domain.release import is_active
from headgate.domain.state import ModelState
from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.access_check import visibility_in
from headgate.runtime.rpc.names import bad_field, checked_name, environment_in, model_in, release_in
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import release_service_pb2 as release_service
from headgate.v1 import release_service_pb2_grpc as release_service_grpc
from headgate.v1 import resources_pb2 as resources
from headgate.view.fields import Kind
from services.registry.as_of import AsOfReads, is_past, refused
from services.registry.release_times import ReleaseTimes
from services.registry.requests import Requests, copy_of, no_facts, not_found
from services.registry.search import Search
from services.registry.watches import WAIT_SECONDS, Watches


class ReleaseServicer(release_service_grpc.ReleaseServiceServicer):
    """Turns every change into a command. The deployer steers the releases, not this class."""

    def __init__(
        self, requests: Requests, search: Search, as_of: AsOfReads, watches: Watches, times: ReleaseTimes
    ) -> None:
        self._times = times
        self._requests = requests
        self._as_of = as_of
        self._search = search
        self._watches = watches

    def StartRelease(
        self, request: release_service.StartReleaseRequest, context: grpc.ServicerContext
    ) -> resources.Release:
        model = model_in(request.parent, "parent")
        payload = commands.StartRelease(
            environment=request.environment,
            candidate=request.version,
            strategy=request.strategy,
            reason=request.reason,
            policy=request.policy if request.HasField("policy") else None,
            override_quarantine=request.override_quarantine,
        )
        record = self._requests.execute(model_stream(model), request, context, start_release=payload)
        return self._release(model, record.release_requested.release if record is not None else 0)

    def GetRelease(
        self, request: release_service.GetReleaseRequest, context: grpc.ServicerContext
    ) -> resources.Release:
        model, number = release_in(request.name)
        if is_past(request):
            state = self._as_of.model(request.as_of, model)
            then = self._as_of.then(request.as_of, model_stream(model))
            return _release_in(state, number, self._as_of.not_found(request.name, then, "", "name"))
        return self._release(model, number)

    def ListReleases(
        self, request: release_service.ListReleasesRequest, context: grpc.ServicerContext
    ) -> release_service.ListReleasesResponse:
        page = self._search.in_parent(Kind.RELEASE, request, visibility_in(context))
        return release_service.ListReleasesResponse(releases=page.matches, next_page_token=page.token, read=page.mark)

    def WatchRelease(
        self, request: release_service.WatchReleaseRequest, context: grpc.ServicerContext
    ) -> Iterator[release_service.WatchReleaseResponse]:
        model, number = release_in(request.name)
        with self._watches.slot(context):
            # Read before the release. Otherwise a fact between the two reads would not wake this watch.
            revision = self._requests.fold.revision
            release, last = self._release(model, number), resources.Release()
            while self._watches.is_open(context):
                if _without_etag(release) != _without_etag(last):
                    at_ms = self._times.last_fact_ms(model, release)
                    yield release_service.WatchReleaseResponse(release=release, occurred_at_ms=at_ms)
                if not is_active(release):
                    return
                revision = self._requests.fold.wait_change(revision, WAIT_SECONDS)
                last, release = release, self._release(model, number)

    def PauseRelease(
        self, request: release_service.PauseReleaseRequest, context: grpc.ServicerContext
    ) -> resources.Release:
        return self._on_release(request, context, "pause_release", commands.PauseRelease)

    def ResumeRelease(
        self, request: release_service.ResumeReleaseRequest, context: grpc.ServicerContext
    ) -> resources.Release:
        return self._on_release(request, context, "resume_release", commands.ResumeRelease)

    def PromoteRelease(
        self, request: release_service.PromoteReleaseRequest, context: grpc.ServicerContext
    ) -> resources.Release:
        if not request.reason.strip():
            raise bad_field("reason", "", "the reason for a promotion before the judge's verdict")
        return self._on_release(request, context, "promote_release", commands.PromoteRelease, from_pause=True)

    def AbortRelease(
        self, request: release_service.AbortReleaseRequest, context: grpc.ServicerContext
    ) -> resources.Release:
        return self._on_release(
            request, context, "roll_back_release", commands.RollBackRelease, cause=facts.ROLLBACK_CAUSE_ABORTED
        )

    def UndoRelease(
        self, request: release_service.UndoReleaseRequest, context: grpc.ServicerContext
    ) -> resources.Release:
        model, number = release_in(request.name)
        payload = commands.UndoRelease(release=number, reason=request.reason)
        record = self._requests.execute(model_stream(model), request, context, undo_release=payload)
        return self._release(model, record.release_requested.release if record is not None else number)

    def CreateEnvironment(
        self, request: release_service.CreateEnvironmentRequest, context: grpc.ServicerContext
    ) -> resources.Environment:
        payload = commands.CreateEnvironment(description=request.description)
        environment = checked_name("environment", request.environment)
        self._requests.execute(environment_stream(environment), request, context, create_environment=payload)
        return self._environment(request.environment)

    def GetEnvironment(
        self, request: release_service.GetEnvironmentRequest, context: grpc.ServicerContext
    ) -> resources.Environment:
        environment = environment_in(request.name)
        if is_past(request):
            return self._as_of.environment(request.as_of, environment_stream(environment)).environment
        return self._environment(environment)

    def ListEnvironments(
        self, request: release_service.ListEnvironmentsRequest, context: grpc.ServicerContext
    ) -> release_service.ListEnvironmentsResponse:
        if is_past(request):
            with refused():
                past = [state.environment for state in self._as_of.then(request.as_of).environments()]
                return release_service.ListEnvironmentsResponse(environments=past)
        with self._requests.fold.lock:
            states = self._requests.fold.environments
            return release_service.ListEnvironmentsResponse(
                environments=[states[name].environment for name in sorted(states)]
            )

    def SetPolicy(
        self, request: release_service.SetPolicyRequest, context: grpc.ServicerContext
    ) -> resources.Environment:
        approvals = request.approvals if request.HasField("approvals") else None
        payload = commands.SetPolicy(policy=request.policy, approvals=approvals)
        return self._on_environment(request, context, set_policy=payload)

    def DeclareFreeze(
        self, request: release_service.DeclareFreezeRequest, context: grpc.ServicerContext
    ) -> resources.Environment:
        payload = commands.DeclareFreeze(
            freeze=request.freeze, reason=request.reason, from_ms=request.from_ms, until_ms=request.until_ms
        )
        return self._on_environment(request, context, declare_freeze=payload)

    def LiftFreeze(
        self, request: release_service.LiftFreezeRequest, context: grpc.ServicerContext
    ) -> resources.Environment:
        payload = commands.LiftFreeze(freeze=request.freeze, reason=request.reason)
        return self._on_environment(request, context, lift_freeze=payload)

    def _on_release(
        self, request: Any, context: grpc.ServicerContext, field: str, payload_type: Any, **more: object
    ) -> resources.Release:
        model, number = release_in(request.name)
        payload = payload_type(release=number, reason=request.reason, **more)
        self._requests.execute(model_stream(model), request, context, **{field: payload})
        return self._release(model, number)

    def _on_environment(self, request: Any, context: grpc.ServicerContext, **payload: Any) -> resources.Environment:
        environment = environment_in(request.name)
        self._requests.execute(environment_stream(environment), request, context, **payload)
        return self._environment(environment)

    def _release(self, model: str, number: int) -> resources.Release:
        with self._requests.fold.lock:
            return _release_in(self._requests.model(model), number, not_found(release_name(model, number), "name"))

    def _environment(self, name: str) -> resources.Environment:
        with self._requests.fold.lock:
            state = self._requests.fold.environments.get(name)
            if state is None:
                raise no_facts(name, "name")
            return copy_of(state.environment)


def _release_in(state: ModelState, number: int, missing: RpcRefused) -> resources.Release:
    """A copy of a release, with the etag of its model. Raises `missing` when there is none."""
    release = state.releases.get(number)
    if release is None:
        raise missing
    copied = copy_of(release)
    copied.etag = state.model.etag
    return copied


def _without_etag(release: resources.Release) -> bytes:
    bare = copy_of(release)
    bare.ClearField("etag")
    return bare.SerializeToString(deterministic=True)
