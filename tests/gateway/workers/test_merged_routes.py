"""What several workers serve as one gateway."""

from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.workers.merged_routes import merged_routes


def route(model="fraud", epoch=4, ready=(1, 2), failures=()):
    failed = [telemetry.LoadFailure(version=number, reason=reason) for number, reason in failures]
    return telemetry.RouteStatus(model=model, epoch=epoch, ready_versions=ready, failures=failed)


def test_a_version_is_ready_when_it_is_in_every_worker_and_the_lowest_epoch_counts():
    (merged,) = merged_routes([[route(epoch=7)], [route(epoch=4, ready=(2, 3))]])
    assert (merged.model, merged.epoch, list(merged.ready_versions)) == ("fraud", 4, [2])


def test_a_model_that_one_worker_does_not_route_yet_is_applied_by_none():
    (merged,) = merged_routes([[route()], []])
    assert (merged.epoch, list(merged.ready_versions)) == (0, [])


def test_a_version_that_one_worker_cannot_load_has_failed():
    workers = [[route(ready=(1,), failures=[(2, "no memory")])], [route(failures=[(2, "later"), (3, "untrusted")])]]
    (merged,) = merged_routes(workers)
    assert list(merged.ready_versions) == [1]
    assert [(each.version, each.reason) for each in merged.failures] == [(2, "no memory"), (3, "untrusted")]
