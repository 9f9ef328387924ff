"""RegistryService: translate, execute, translate back."""

from collections.abc import Iterator
from typing import Any

import grpc

from headgate.domain.names import model_stream
from headgate.v1 import commands_pb2 as k
from headgate.v1 import registry_service_pb2 as rpc
from headgate.v1 import registry_service_pb2_grpc as rpc_grpc
from headgate.v1 import resources_pb2 as r
from headgate.view.fields import Kind
from services.registry.door import Door, alias_of, copy_of, missing, model_of, numbered
from services.registry.history import History, fold_digest, history_positions
from services.registry.search import Search, query_of
from services.registry.watches import ResourceWatch, Watches


class RegistryServicer(rpc_grpc.RegistryServiceServicer):
    """Models, versions, aliases, tags and their history."""

    def __init__(self, door: Door, history: History, search: Search, watches: Watches) -> None:
        self._door = door
        self._history = history
        self._search = search
        self._watches = watches

    def CreateModel(self, request: rpc.CreateModelRequest, context: grpc.ServicerContext) -> r.Model:
        wish = k.CreateModel(description=request.description, repository=request.repository, labels=request.labels)
        self._door.carry_out(model_stream(request.model), request, context, create_model=wish)
        return self._model(request.model)

    def GetModel(self, request: rpc.GetModelRequest, context: grpc.ServicerContext) -> r.Model:
        return self._model(model_of(request.name))

    def ListModels(self, request: rpc.ListModelsRequest, context: grpc.ServicerContext) -> rpc.ListModelsResponse:
        found = self._search.models(request)
        return rpc.ListModelsResponse(models=found.resources, next_page_token=found.token, read=found.mark)

    def WatchModels(
        self, request: rpc.WatchModelsRequest, context: grpc.ServicerContext
    ) -> Iterator[rpc.WatchModelsResponse]:
        watch = ResourceWatch(self._door.fold, query_of(Kind.MODEL, filter_text=request.filter))
        for change, model, positions in watch.run(self._watches, context):
            yield rpc.WatchModelsResponse(change=change, model=model, positions=history_positions(positions))

    def UpdateModel(self, request: rpc.UpdateModelRequest, context: grpc.ServicerContext) -> r.Model:
        model = model_of(request.name)
        wish = k.DescribeModel(description=request.description, repository=request.repository)
        self._door.carry_out(model_stream(model), request, context, describe_model=wish)
        return self._model(model)

    def LabelModel(self, request: rpc.LabelModelRequest, context: grpc.ServicerContext) -> r.Model:
        model = model_of(request.name)
        wish = k.LabelModel(key=request.key, value=request.value)
        self._door.carry_out(model_stream(model), request, context, label_model=wish)
        return self._model(model)

    def CreateVersion(self, request: rpc.CreateVersionRequest, context: grpc.ServicerContext) -> r.Version:
        model = model_of(request.parent, "parent")
        wish = k.CreateVersion(
            repository=request.repository, commit=request.commit, commit_message=request.commit_message
        )
        record = self._door.carry_out(model_stream(model), request, context, create_version=wish)
        return self._version(model, record.version_created.version if record is not None else 0)

    def GetVersion(self, request: rpc.GetVersionRequest, context: grpc.ServicerContext) -> r.Version:
        alias = alias_of(request.name)
        if alias is None:
            return self._version(*numbered(request.name, "versions"))
        with self._door.fold.lock:
            number = self._door.model(alias[0]).model.aliases.get(alias[1], 0)
        if not number:
            raise missing(request.name, "name")
        return self._version(alias[0], number)

    def ListVersions(self, request: rpc.ListVersionsRequest, context: grpc.ServicerContext) -> rpc.ListVersionsResponse:
        found = self._search.in_parent(Kind.VERSION, request)
        return rpc.ListVersionsResponse(versions=found.resources, next_page_token=found.token, read=found.mark)

    def WatchVersions(
        self, request: rpc.WatchVersionsRequest, context: grpc.ServicerContext
    ) -> Iterator[rpc.WatchVersionsResponse]:
        query = self._search.scoped(Kind.VERSION, request.parent, filter_text=request.filter)
        for change, version, positions in ResourceWatch(self._door.fold, query).run(self._watches, context):
            yield rpc.WatchVersionsResponse(change=change, version=version, positions=history_positions(positions))

    def TagVersion(self, request: rpc.TagVersionRequest, context: grpc.ServicerContext) -> r.Version:
        model, number = numbered(request.name, "versions")
        wish = k.TagVersion(version=number, key=request.key, value=request.value)
        self._door.carry_out(model_stream(model), request, context, tag_version=wish)
        return self._version(model, number)

    def ApproveVersion(self, request: rpc.ApproveVersionRequest, context: grpc.ServicerContext) -> r.Version:
        return self._on_version(request, context, "grant_approval", k.GrantApproval)

    def DenyVersion(self, request: rpc.DenyVersionRequest, context: grpc.ServicerContext) -> r.Version:
        return self._on_version(request, context, "deny_approval", k.DenyApproval)

    def WaiveGate(self, request: rpc.WaiveGateRequest, context: grpc.ServicerContext) -> r.Version:
        return self._on_version(request, context, "waive_gate", k.WaiveGate)

    def ArchiveVersion(self, request: rpc.ArchiveVersionRequest, context: grpc.ServicerContext) -> r.Version:
        return self._on_version(request, context, "archive_version", k.ArchiveVersion)

    def PurgeVersion(self, request: rpc.PurgeVersionRequest, context: grpc.ServicerContext) -> r.Version:
        return self._on_version(request, context, "purge_version", k.PurgeVersion)

    def QuarantineVersion(self, request: rpc.QuarantineVersionRequest, context: grpc.ServicerContext) -> r.Version:
        return self._on_version(request, context, "quarantine_candidate", k.QuarantineCandidate)

    def LiftQuarantine(self, request: rpc.LiftQuarantineRequest, context: grpc.ServicerContext) -> r.Version:
        return self._on_version(request, context, "lift_quarantine", k.LiftQuarantine)

    def SetAlias(self, request: rpc.SetAliasRequest, context: grpc.ServicerContext) -> r.Model:
        model = model_of(request.parent, "parent")
        wish = k.MoveAlias(alias=request.alias, version=request.version)
        self._door.carry_out(model_stream(model), request, context, move_alias=wish)
        return self._model(model)

    def DeleteAlias(self, request: rpc.DeleteAliasRequest, context: grpc.ServicerContext) -> r.Model:
        model = model_of(request.parent, "parent")
        wish = k.RemoveAlias(alias=request.alias)
        self._door.carry_out(model_stream(model), request, context, remove_alias=wish)
        return self._model(model)

    def ListHistory(self, request: rpc.ListHistoryRequest, context: grpc.ServicerContext) -> rpc.ListHistoryResponse:
        return self._history.page(request)

    def WatchHistory(
        self, request: rpc.WatchHistoryRequest, context: grpc.ServicerContext
    ) -> Iterator[rpc.WatchHistoryResponse]:
        return self._history.watch(request, context)

    def GetFoldDigest(self, request: rpc.GetFoldDigestRequest, context: grpc.ServicerContext) -> rpc.FoldDigest:
        with self._door.fold.lock:
            return fold_digest(self._door.fold.streams, self._door.fold.void_records)

    def _on_version(self, request: Any, context: grpc.ServicerContext, field: str, wish: Any) -> r.Version:
        model, number = numbered(request.name, "versions")
        command = wish(version=number, reason=request.reason)
        self._door.carry_out(model_stream(model), request, context, **{field: command})
        return self._version(model, number)

    def _model(self, name: str) -> r.Model:
        with self._door.fold.lock:
            return copy_of(self._door.model(name).model)

    def _version(self, model: str, number: int) -> r.Version:
        with self._door.fold.lock:
            state = self._door.model(model)
            version = state.versions.get(number)
            if version is None:
                raise missing(f"models/{model}/versions/{number}", "name")
            copied = copy_of(version)
            copied.etag = state.model.etag
            return copied
