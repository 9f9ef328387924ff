"""What the fold says that a gateway should serve, and the same as devices get it. Pure."""

import hashlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from headgate.artifacts.layout import MODEL_FILE
from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import facts_pb2 as facts
from services.gateway.loading.eviction import VersionKey
from services.gateway.routes import Route

NOTHING: Mapping[VersionKey, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Routed:
    """The routes by model, the artifacts of their versions, and why some of these must not answer who names them."""

    routes: Mapping[str, Route]
    artifacts: Mapping[VersionKey, facts.Artifact]
    withheld: Mapping[VersionKey, str] = field(default_factory=lambda: NOTHING)


def routes_for_devices(routed: Routed, environment: str, models: Collection[str] = ()) -> edge.EdgeRoutes:
    """The routes that have a version, in the order of their models: of these models, or of all."""
    return edge.EdgeRoutes(
        environment=environment,
        routes=[
            _edge_route(route, routed)
            for model, route in sorted(routed.routes.items())
            if route.versions and (not models or model in models)
        ],
    )


def route_of(route: edge.EdgeRoute) -> Route:
    """The route that a device got."""
    return Route(
        model=route.model,
        stable=route.stable,
        candidate=route.candidate,
        candidate_bps=route.candidate_weight_bps,
        release=route.release,
        epoch=route.epoch,
        salt=route.salt,
        candidate_lease_ms=route.candidate_lease_ms,
        arm_header=route.arm_header,
    )


def artifacts_of(routes: edge.EdgeRoutes) -> dict[VersionKey, facts.Artifact]:
    """The artifacts that the routes name."""
    return {(route.model, each.version): each.artifact for route in routes.routes for each in route.versions}


def withheld_of(routes: edge.EdgeRoutes) -> dict[VersionKey, str]:
    """The versions that must not answer a caller who names them, with the reasons."""
    return {
        (route.model, each.version): each.withheld
        for route in routes.routes
        for each in route.versions
        if each.withheld
    }


def files_needed(artifact: facts.Artifact) -> Iterator[tuple[str, int]]:
    """Digest and size of the files that serve a version: the manifest, of unknown size 0, and the model."""
    if artifact.manifest_sha256:
        yield artifact.manifest_sha256, 0
    yield from ((file.sha256, file.size_bytes) for file in artifact.files if file.name == MODEL_FILE)


def token_of(routes: edge.EdgeRoutes) -> str:
    """The same for the same routes, so whoever has them needs to be sent nothing."""
    return hashlib.sha256(routes.SerializeToString(deterministic=True)).hexdigest()


def _edge_route(route: Route, routed: Routed) -> edge.EdgeRoute:
    versions = [
        edge.EdgeVersion(
            version=number,
            artifact=routed.artifacts.get((route.model, number)),
            withheld=routed.withheld.get((route.model, number), ""),
        )
        for number in route.versions
    ]
    return edge.EdgeRoute(
        model=route.model,
        stable=route.stable,
        candidate=route.candidate,
        candidate_weight_bps=route.candidate_bps,
        release=route.release,
        epoch=route.epoch,
        salt=route.salt,
        candidate_lease_ms=route.candidate_lease_ms,
        arm_header=route.arm_header,
        versions=versions,
    )
