"""Decides what a device serves, when it may lack versions that its routes name. Pure."""

from collections.abc import Container, Mapping

from headgate.v1 import edge_service_pb2 as edge
from services.gateway.loading.eviction import VersionKey
from services.gateway.routed import route_of
from services.gateway.routes import NO_VERSION


def next_served(
    received: edge.EdgeRoutes, served: Mapping[str, edge.EdgeRoute], ready: Container[VersionKey]
) -> dict[str, edge.EdgeRoute]:
    """For each model that a gateway routes here: the route that it sent, once the device can serve it.

    Until then, and as long as a version is refused, the device keeps the version that it had. That one gets no
    release: a candidate of another route may have been taken back meanwhile.
    """
    return {route.model: _next(route, served.get(route.model), ready) for route in received.routes}


def _next(received: edge.EdgeRoute, served: edge.EdgeRoute | None, ready: Container[VersionKey]) -> edge.EdgeRoute:
    if served is None or received == served or _is_usable(received, ready):
        return received
    return kept(served)


def _is_usable(route: edge.EdgeRoute, ready: Container[VersionKey]) -> bool:
    """Whether it can answer: its stable version is loaded, or all versions with a weight are."""
    if (route.model, route.stable) in ready:
        return True
    return all((route.model, number) in ready for number in route_of(route).weighted_versions)


def kept(route: edge.EdgeRoute) -> edge.EdgeRoute:
    """The route without its release: the stable version alone, or the candidate where there is no other."""
    number = route.stable or route.candidate
    if number == NO_VERSION:
        return route
    versions = [version for version in route.versions if version.version == number]
    return edge.EdgeRoute(
        model=route.model, stable=number, versions=versions, candidate_lease_ms=route.candidate_lease_ms
    )
