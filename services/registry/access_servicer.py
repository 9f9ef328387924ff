"""AccessService: who holds which role, which tokens hold, and why somebody may do something."""

from collections.abc import Callable, Sequence
from typing import Any

import grpc

from headgate.access.folded import TARGET_RULE, explain, grants_of, subject_named, target_named
from headgate.access.grants import ALL, Target
from headgate.access.roles import Action
from headgate.domain.access import grant_name
from headgate.domain.names import ACCESS_STREAM, is_model_name
from headgate.domain.state import AccessState
from headgate.lifecycle.moment import AtTime
from headgate.runtime.rpc.access_check import covered_in
from headgate.runtime.rpc.names import bad_field
from headgate.v1 import access_service_pb2 as access_service
from headgate.v1 import access_service_pb2_grpc as access_service_grpc
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import resources_pb2 as resources
from services.registry.as_of import AsOfReads, is_past, refused
from services.registry.requests import Requests, Resource, copy_of, not_found

ACTION_RULE = "one of " + ", ".join(action.value for action in Action)


class AccessServicer(access_service_grpc.AccessServiceServicer):
    """Turns every change into a command on the access stream. `administrators` are those whom the settings name."""

    def __init__(
        self, requests: Requests, as_of: AsOfReads, now_ms: Callable[[], int], administrators: Sequence[str] = ()
    ) -> None:
        self._requests = requests
        self._administrators = administrators
        self._as_of = as_of
        self._now_ms = now_ms

    def GrantRole(self, request: access_service.GrantRoleRequest, context: grpc.ServicerContext) -> resources.Grant:
        payload = commands.GrantRole(
            grant=request.grant, subject=request.subject, deny=request.deny, reason=request.reason, **_terms(request)
        )
        payload.grant = payload.grant or grant_name(payload)
        self._requests.execute(ACCESS_STREAM, request, context, grant_role=payload)
        with self._requests.fold.lock:
            return _found(self._requests.fold.access.grants, payload.grant, "grant")

    def RevokeRole(
        self, request: access_service.RevokeRoleRequest, context: grpc.ServicerContext
    ) -> access_service.RevokeRoleResponse:
        payload = commands.RevokeRole(grant=request.grant, reason=request.reason)
        self._requests.execute(ACCESS_STREAM, request, context, revoke_role=payload)
        return access_service.RevokeRoleResponse()

    def ListGrants(
        self, request: access_service.ListGrantsRequest, context: grpc.ServicerContext
    ) -> access_service.ListGrantsResponse:
        access = self._access(request)
        wanted = (each for each in access.grants if request.subject in ("", each.subject))
        covers = covered_in(context)
        found = [each for each in wanted if covers(each.models, each.environments)]
        return access_service.ListGrantsResponse(grants=found, etag=access.etag)

    def CreateToken(self, request: access_service.CreateTokenRequest, context: grpc.ServicerContext) -> resources.Token:
        payload = commands.CreateToken(
            token=request.token,
            sha256=request.sha256,
            expire_time_ms=request.expire_time_ms,
            reason=request.reason,
            **_terms(request),
        )
        self._requests.execute(ACCESS_STREAM, request, context, create_token=payload)
        with self._requests.fold.lock:
            return _without_digest(_found(self._requests.fold.access.tokens, request.token, "token"))

    def RevokeToken(
        self, request: access_service.RevokeTokenRequest, context: grpc.ServicerContext
    ) -> access_service.RevokeTokenResponse:
        payload = commands.RevokeToken(token=request.token, reason=request.reason)
        self._requests.execute(ACCESS_STREAM, request, context, revoke_token=payload)
        return access_service.RevokeTokenResponse()

    def ListTokens(
        self, request: access_service.ListTokensRequest, context: grpc.ServicerContext
    ) -> access_service.ListTokensResponse:
        access = self._access(request)
        covers = covered_in(context)
        found = [_without_digest(each) for each in access.tokens if covers(each.models, each.environments)]
        return access_service.ListTokensResponse(tokens=found, etag=access.etag)

    def ExplainAccess(
        self, request: access_service.ExplainAccessRequest, context: grpc.ServicerContext
    ) -> access_service.ExplainAccessResponse:
        action = next((each for each in Action if each.value == request.action), None)
        if action is None:
            raise bad_field("action", request.action, ACTION_RULE)
        target = target_named(request.resource)
        if target is None:
            raise bad_field("resource", request.resource, TARGET_RULE)
        state, target = self._at(target, request.at_ms)
        # The log does not say whom the settings named at another time.
        grants = grants_of(state, () if request.at_ms else self._administrators, request.at_ms or self._now_ms())
        found = explain(subject_named(request.subject, request.groups), grants, action, target, request.resource)
        return access_service.ExplainAccessResponse(
            allowed=found.allowed,
            grant=state.grants.get(found.grant.name) if found.grant else None,
            explanation=found.sentence,
        )

    def _access(self, request: Any) -> resources.Access:
        """Grants and tokens now, or at the moment of the request."""
        if is_past(request):
            with refused():
                return self._as_of.then(request.as_of, ACCESS_STREAM).access.access
        with self._requests.fold.lock:
            return self._requests.fold.access.access

    def _at(self, target: Target, at_ms: int) -> tuple[AccessState, Target]:
        """Grants and tokens at a time, or now for 0, and the target with the labels that its model had."""
        if not at_ms:
            with self._requests.fold.lock:
                state = self._requests.fold.access
                copied = AccessState(state.name, state.sequence, dict(state.grants), dict(state.tokens))
                model = self._requests.fold.models.get(target.model)
                return copied, target._replace(labels=dict(model.model.labels) if model else {})
        with refused():
            then = self._as_of.past.at(AtTime(at_ms))
            of_model = then.model(target.model) if is_model_name(target.model) else None
            return then.access, target._replace(labels=dict(of_model.model.labels) if of_model else {})


def _terms(request: access_service.GrantRoleRequest | access_service.CreateTokenRequest) -> dict[str, Any]:
    """Role and bounds of a request, which are all names where it gives none."""
    return {
        "role": request.role,
        "models": request.models or ALL,
        "environments": request.environments or ALL,
    }


def _found(kept: dict[str, Resource], name: str, field: str) -> Resource:
    if name not in kept:
        raise not_found(f"{field} {name}", field)
    return copy_of(kept[name])


def _without_digest(token: resources.Token) -> resources.Token:
    token.ClearField("sha256")
    return token
