"""What a gateway of several workers serves as one: only what each of them does. Pure."""

from collections.abc import Iterator, Sequence

from headgate.v1 import telemetry_pb2 as telemetry

Routes = Sequence[telemetry.RouteStatus]


def merged_routes(workers: Sequence[Routes]) -> list[telemetry.RouteStatus]:
    """One route for each model that a worker names. Its epoch is the lowest, 0 while one of them applies none."""
    by_model: dict[str, list[telemetry.RouteStatus]] = {}
    for routes in workers:
        for route in routes:
            by_model.setdefault(route.model, []).append(route)
    return [_merged(model, found, len(found) == len(workers)) for model, found in by_model.items()]


def _merged(model: str, found: Routes, is_everywhere: bool) -> telemetry.RouteStatus:
    ready = set.intersection(*(set(route.ready_versions) for route in found)) if is_everywhere else set()
    return telemetry.RouteStatus(
        model=model,
        epoch=min(route.epoch for route in found) if is_everywhere else 0,
        ready_versions=sorted(ready),
        failures=_failures(found),
    )


def _failures(found: Routes) -> Iterator[telemetry.LoadFailure]:
    """The first failure of each version."""
    first: dict[int, telemetry.LoadFailure] = {}
    for route in found:
        for failure in route.failures:
            first.setdefault(failure.version, failure)
    return iter(first.values())
