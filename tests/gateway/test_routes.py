import pytest

from headgate.domain.model import ModelState
from headgate.domain.policy import DEFAULT
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.gateway.routes import Route, routes


def release(phase, candidate_bps=None, stable=1, candidate=2, epoch=0, environment="production", number=1):
    weights = []
    if candidate_bps is not None:
        weights = [
            facts.Weight(version=stable, weight_bps=10_000 - candidate_bps),
            facts.Weight(version=candidate, weight_bps=candidate_bps),
        ]
    return resources.Release(
        release=number,
        environment=environment,
        candidate=candidate,
        stable=stable,
        salt="salt",
        phase=phase,
        weights=weights,
        epoch=epoch,
        policy=configuration.ReleasePolicy(candidate_lease_ms=30_000),
    )


def route(live=None, *releases):
    state = ModelState(name="fraud", releases={each.release: each for each in releases})
    state.model.live.update({"production": live} if live else {})
    (route,) = routes({"fraud": state}, "production")
    return route


def test_without_a_release_the_live_version_serves():
    assert route(3) == Route(model="fraud", stable=3)


def test_without_a_live_version_the_route_has_no_version():
    assert route() == Route(model="fraud")
    assert route().versions == ()


def test_reading_the_live_version_does_not_change_the_fold():
    state = ModelState(name="fraud")
    list(routes({"fraud": state}, "production"))
    assert dict(state.model.live) == {}


def test_a_release_that_is_preparing_loads_the_candidate_and_gives_it_no_traffic():
    prepared = route(1, release(resources.PHASE_PREPARING))
    assert (prepared.stable, prepared.candidate_bps) == (1, 0)
    assert prepared.versions == (1, 2)
    assert prepared.weighted_versions == (1,)


@pytest.mark.parametrize(
    ("phase", "candidate_bps"),
    [
        (resources.PHASE_STEPPING, 500),
        (resources.PHASE_PROMOTING, 10_000),
        (resources.PHASE_BAKING, 10_000),
        (resources.PHASE_ROLLING_BACK, 0),
    ],
)
def test_a_running_release_has_the_weights_of_the_log_and_keeps_both_versions_loaded(phase, candidate_bps):
    running = route(1, release(phase, candidate_bps, epoch=17))
    assert (running.candidate_bps, running.epoch, running.salt) == (candidate_bps, 17, "salt")
    assert running.versions == (1, 2)
    assert running.candidate_lease_ms == 30_000


@pytest.mark.parametrize(("candidate_bps", "weighted"), [(0, (1,)), (1, (1, 2)), (9_999, (1, 2)), (10_000, (2,))])
def test_a_version_must_be_loaded_exactly_while_its_weight_is_above_0(candidate_bps, weighted):
    assert route(1, release(resources.PHASE_STEPPING, candidate_bps)).weighted_versions == weighted


def test_a_release_of_an_older_log_without_a_lease_has_the_lease_of_the_default_policy():
    running = release(resources.PHASE_STEPPING, 500)
    running.policy.ClearField("candidate_lease_ms")
    assert route(1, running).candidate_lease_ms == DEFAULT.candidate_lease_ms


def test_of_two_running_releases_the_newer_one_counts():
    older, newer = (release(resources.PHASE_STEPPING, 500, candidate=number, number=number) for number in (2, 3))
    assert route(1, older, newer).candidate == route(1, newer, older).candidate == 3


def test_a_first_direct_release_serves_no_request_until_it_is_promoted():
    assert route(None, release(resources.PHASE_PREPARING, stable=0)).weighted_versions == ()
    promoting = resources.Release(
        release=1,
        environment="production",
        candidate=2,
        phase=resources.PHASE_PROMOTING,
        weights=[facts.Weight(version=2, weight_bps=10_000)],
        epoch=9,
    )
    assert route(None, promoting).weighted_versions == (2,)


@pytest.mark.parametrize(
    "phase",
    [
        resources.PHASE_REQUESTED,
        resources.PHASE_COMPLETED,
        resources.PHASE_ROLLED_BACK,
        resources.PHASE_SUPERSEDED,
        resources.PHASE_REJECTED,
    ],
)
def test_a_release_that_waits_or_has_ended_does_not_change_the_route(phase):
    assert route(1, release(phase, 10_000)) == Route(model="fraud", stable=1)


def test_a_release_in_another_environment_does_not_change_the_route():
    assert route(1, release(resources.PHASE_STEPPING, 5_000, environment="staging")) == Route("fraud", stable=1)
