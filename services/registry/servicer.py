"""RegistryService: turns requests into commands, executes them, and turns the results into responses."""

from collections.abc import Callable, Iterator
from typing import Any

import grpc

from headgate.domain.names import model_stream, split_alias, version_name
from headgate.domain.state import ModelState
from headgate.lifecycle.digest import fold_digest
from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.access_check import readable_in, visibility_in
from headgate.runtime.rpc.names import checked_model, model_in, version_in
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from headgate.v1 import resources_pb2 as resources
from headgate.view.fields import Kind
from services.registry.as_of import AsOfReads, is_past, refused
from services.registry.attestations import Attestations
from services.registry.explained import Explanations
from services.registry.history import History, history_positions
from services.registry.requests import Requests, copy_of, not_found
from services.registry.search import Search, query_of
from services.registry.watches import ResourceWatch, Watches


class RegistryServicer(registry_service_grpc.RegistryServiceServicer):
    """Models, versions, aliases, tags and their history."""

    def __init__(
        self,
        requests: Requests,
        history: History,
        search: Search,
        as_of: AsOfReads,
        watches: Watches,
        attestations: Attestations,
        log_time_ms: Callable[[], int],
    ) -> None:
        self._requests = requests
        self._as_of = as_of
        self._explanations = Explanations(as_of)
        self._history = history
        self._search = search
        self._watches = watches
        self._attestations = attestations
        self._log_time_ms = log_time_ms

    def CreateModel(
        self, request: registry_service.CreateModelRequest, context: grpc.ServicerContext
    ) -> resources.Model:
        payload = commands.CreateModel(
            description=request.description, repository=request.repository, labels=request.labels
        )
        model = checked_model("model", request.model)
        self._requests.execute(model_stream(model), request, context, create_model=payload)
        return self._model(request.model)

    def GetModel(self, request: registry_service.GetModelRequest, context: grpc.ServicerContext) -> resources.Model:
        model = model_in(request.name)
        if is_past(request):
            return self._as_of.model(request.as_of, model).model
        return self._model(model)

    def ListModels(
        self, request: registry_service.ListModelsRequest, context: grpc.ServicerContext
    ) -> registry_service.ListModelsResponse:
        page = self._search.models(request, visibility_in(context))
        return registry_service.ListModelsResponse(models=page.matches, next_page_token=page.token, read=page.mark)

    def WatchModels(
        self, request: registry_service.WatchModelsRequest, context: grpc.ServicerContext
    ) -> Iterator[registry_service.WatchModelsResponse]:
        query = query_of(Kind.MODEL, filter_text=request.filter)
        watch = ResourceWatch(self._requests.fold, query, readable_in(context))
        for change, model, positions in watch.run(self._watches, context):
            yield registry_service.WatchModelsResponse(
                change=change, model=model, positions=history_positions(positions)
            )

    def UpdateModel(
        self, request: registry_service.UpdateModelRequest, context: grpc.ServicerContext
    ) -> resources.Model:
        model = model_in(request.name)
        payload = commands.DescribeModel(description=request.description, repository=request.repository)
        self._requests.execute(model_stream(model), request, context, describe_model=payload)
        return self._model(model)

    def LabelModel(self, request: registry_service.LabelModelRequest, context: grpc.ServicerContext) -> resources.Model:
        model = model_in(request.name)
        payload = commands.LabelModel(key=request.key, value=request.value)
        self._requests.execute(model_stream(model), request, context, label_model=payload)
        return self._model(model)

    def AddRepository(
        self, request: registry_service.AddRepositoryRequest, context: grpc.ServicerContext
    ) -> resources.Model:
        model = model_in(request.name)
        payload = commands.AddRepository(repository=request.repository, branch=request.branch, secret=request.secret)
        self._requests.execute(model_stream(model), request, context, add_repository=payload)
        return self._model(model)

    def RemoveRepository(
        self, request: registry_service.RemoveRepositoryRequest, context: grpc.ServicerContext
    ) -> resources.Model:
        model = model_in(request.name)
        payload = commands.RemoveRepository(repository=request.repository)
        self._requests.execute(model_stream(model), request, context, remove_repository=payload)
        return self._model(model)

    def CreateVersion(
        self, request: registry_service.CreateVersionRequest, context: grpc.ServicerContext
    ) -> resources.Version:
        model = model_in(request.parent, "parent")
        payload = commands.CreateVersion(
            repository=request.repository,
            commit=request.commit,
            commit_message=request.commit_message,
            upload=request.upload if request.HasField("upload") else None,
        )
        record = self._requests.execute(model_stream(model), request, context, create_version=payload)
        return self._version(model, record.version_created.version if record is not None else 0)

    def GetVersion(
        self, request: registry_service.GetVersionRequest, context: grpc.ServicerContext
    ) -> resources.Version:
        model, alias = split_alias(request.name) or ("", "")
        number = 0
        if not alias:
            model, number = version_in(request.name)
        if is_past(request):
            state = self._as_of.model(request.as_of, model)
            missing = self._as_of.not_found(
                request.name, self._as_of.then(request.as_of, model_stream(model)), "", "name"
            )
            return _version_in(state, number or state.model.aliases.get(alias, 0), missing)
        with self._requests.fold.lock:
            state = self._requests.model(model)
            return _version_in(state, number or state.model.aliases.get(alias, 0), not_found(request.name, "name"))

    def ListVersions(
        self, request: registry_service.ListVersionsRequest, context: grpc.ServicerContext
    ) -> registry_service.ListVersionsResponse:
        page = self._search.in_parent(Kind.VERSION, request, visibility_in(context))
        return registry_service.ListVersionsResponse(versions=page.matches, next_page_token=page.token, read=page.mark)

    def WatchVersions(
        self, request: registry_service.WatchVersionsRequest, context: grpc.ServicerContext
    ) -> Iterator[registry_service.WatchVersionsResponse]:
        query = self._search.scoped(Kind.VERSION, request.parent, filter_text=request.filter)
        watch = ResourceWatch(self._requests.fold, query, readable_in(context))
        for change, version, positions in watch.run(self._watches, context):
            yield registry_service.WatchVersionsResponse(
                change=change, version=version, positions=history_positions(positions)
            )

    def TagVersion(
        self, request: registry_service.TagVersionRequest, context: grpc.ServicerContext
    ) -> resources.Version:
        model, number = version_in(request.name)
        payload = commands.TagVersion(version=number, key=request.key, value=request.value)
        self._requests.execute(model_stream(model), request, context, tag_version=payload)
        return self._version(model, number)

    def ApproveVersion(
        self, request: registry_service.ApproveVersionRequest, context: grpc.ServicerContext
    ) -> resources.Version:
        return self._on_version(request, context, "grant_approval", commands.GrantApproval)

    def DenyVersion(
        self, request: registry_service.DenyVersionRequest, context: grpc.ServicerContext
    ) -> resources.Version:
        return self._on_version(request, context, "deny_approval", commands.DenyApproval)

    def WaiveGate(self, request: registry_service.WaiveGateRequest, context: grpc.ServicerContext) -> resources.Version:
        return self._on_version(request, context, "waive_gate", commands.WaiveGate)

    def CancelVersion(
        self, request: registry_service.CancelVersionRequest, context: grpc.ServicerContext
    ) -> resources.Version:
        return self._on_version(request, context, "cancel_version", commands.CancelVersion)

    def ArchiveVersion(
        self, request: registry_service.ArchiveVersionRequest, context: grpc.ServicerContext
    ) -> resources.Version:
        return self._on_version(request, context, "archive_version", commands.ArchiveVersion)

    def PurgeVersion(
        self, request: registry_service.PurgeVersionRequest, context: grpc.ServicerContext
    ) -> resources.Version:
        return self._on_version(request, context, "purge_version", commands.PurgeVersion)

    def QuarantineVersion(
        self, request: registry_service.QuarantineVersionRequest, context: grpc.ServicerContext
    ) -> resources.Version:
        return self._on_version(request, context, "quarantine_candidate", commands.QuarantineCandidate)

    def LiftQuarantine(
        self, request: registry_service.LiftQuarantineRequest, context: grpc.ServicerContext
    ) -> resources.Version:
        return self._on_version(request, context, "lift_quarantine", commands.LiftQuarantine)

    def SetAlias(self, request: registry_service.SetAliasRequest, context: grpc.ServicerContext) -> resources.Model:
        model = model_in(request.parent, "parent")
        payload = commands.MoveAlias(alias=request.alias, version=request.version)
        self._requests.execute(model_stream(model), request, context, move_alias=payload)
        return self._model(model)

    def DeleteAlias(
        self, request: registry_service.DeleteAliasRequest, context: grpc.ServicerContext
    ) -> resources.Model:
        model = model_in(request.parent, "parent")
        payload = commands.RemoveAlias(alias=request.alias)
        self._requests.execute(model_stream(model), request, context, remove_alias=payload)
        return self._model(model)

    def ListHistory(
        self, request: registry_service.ListHistoryRequest, context: grpc.ServicerContext
    ) -> registry_service.ListHistoryResponse:
        last = self._as_of.head(request.as_of, request.stream) if is_past(request) else None
        return self._history.page(request, last)

    def WatchHistory(
        self, request: registry_service.WatchHistoryRequest, context: grpc.ServicerContext
    ) -> Iterator[registry_service.WatchHistoryResponse]:
        return self._history.watch(request, context)

    def GetFoldDigest(
        self, request: registry_service.GetFoldDigestRequest, context: grpc.ServicerContext
    ) -> registry_service.FoldDigest:
        if is_past(request):
            with refused():
                return self._as_of.then(request.as_of).digest()
        with self._requests.fold.lock:
            return fold_digest(self._requests.fold)

    def Explain(
        self, request: registry_service.ExplainRequest, context: grpc.ServicerContext
    ) -> registry_service.Explanation:
        return self._explanations.of(request)

    def ListAttestations(
        self, request: registry_service.ListAttestationsRequest, context: grpc.ServicerContext
    ) -> registry_service.ListAttestationsResponse:
        return self._attestations.of(request)

    def GetLogTime(
        self, request: registry_service.GetLogTimeRequest, context: grpc.ServicerContext
    ) -> registry_service.LogTime:
        return registry_service.LogTime(time_ms=self._log_time_ms())

    def _on_version(
        self, request: Any, context: grpc.ServicerContext, field: str, payload_type: Any
    ) -> resources.Version:
        model, number = version_in(request.name)
        payload = payload_type(version=number, reason=request.reason)
        self._requests.execute(model_stream(model), request, context, **{field: payload})
        return self._version(model, number)

    def _model(self, name: str) -> resources.Model:
        with self._requests.fold.lock:
            return copy_of(self._requests.model(name).model)

    def _version(self, model: str, number: int) -> resources.Version:
        with self._requests.fold.lock:
            state = self._requests.model(model)
            return _version_in(state, number, not_found(version_name(model, number), "name"))


def _version_in(state: ModelState, number: int, missing: RpcRefused) -> resources.Version:
    """A copy of a version, with the etag of its model. Raises `missing` when there is none."""
    version = state.versions.get(number)
    if version is None:
        raise missing
    copied = copy_of(version)
    copied.etag = state.model.etag
    return copied
