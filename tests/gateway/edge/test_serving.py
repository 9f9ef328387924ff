"""What a device serves follows from what it was sent, what it had, and what it could load."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.v1 import edge_service_pb2 as edge
from services.gateway.edge.serving import kept, next_served
from services.gateway.routed import route_of

NUMBERS = st.integers(0, 4)


@st.composite
def edge_routes(draw, model="fraud"):
    stable, candidate = draw(NUMBERS), draw(NUMBERS)
    candidate = 0 if candidate == stable else candidate
    weight = draw(st.sampled_from([0, 500, 10_000])) if stable and candidate else 10_000 if candidate else 0
    release = draw(st.integers(1, 3)) if candidate else 0
    route = edge.EdgeRoute(
        model=model, stable=stable, candidate=candidate, candidate_weight_bps=weight, release=release, epoch=release
    )
    for number in route_of(route).versions:
        route.versions.add(version=number)
    return route


def sent(*found):
    return edge.EdgeRoutes(environment="production", routes=found)


def canary(stable, candidate, weight=500, release=1):
    route = edge.EdgeRoute(
        model="fraud", stable=stable, candidate=candidate, candidate_weight_bps=weight, release=release, epoch=release
    )
    for number in route_of(route).versions:
        route.versions.add(version=number)
    return route


def live(version):
    return canary(version, 0, 0, 0)


def served(received, before, *ready):
    return next_served(sent(received), {"fraud": before} if before else {}, {("fraud", n) for n in ready})["fraud"]


def test_the_first_routes_are_served_at_once():
    assert served(live(1), None) == live(1)


def test_the_old_version_answers_until_the_new_one_is_loaded():
    assert served(live(2), live(1), 1) == live(1)
    assert served(live(2), live(1), 1, 2) == live(2)


def test_a_release_is_followed_as_soon_as_its_stable_version_is_there():
    assert served(canary(1, 2), live(1), 1) == canary(1, 2)


def test_a_candidate_of_another_route_gets_no_traffic_while_the_new_route_cannot_be_served():
    assert served(canary(3, 4, release=2), canary(1, 2), 1, 2) == live(1)


def test_a_first_version_that_had_all_traffic_goes_on_when_the_next_one_is_refused():
    assert served(live(3), canary(0, 2, 10_000), 2) == live(2)


def test_a_model_that_is_no_longer_routed_is_not_served():
    assert next_served(sent(), {"fraud": live(1)}, {("fraud", 1)}) == {}


@given(received=edge_routes(), before=edge_routes(), ready=st.sets(NUMBERS))
def test_a_device_serves_what_it_was_sent_or_its_old_version_alone(received, before, ready):
    keys = {("fraud", number) for number in ready}
    found = next_served(sent(received), {"fraud": before}, keys)["fraud"]
    assert found in (received, kept(before))
    if found != received:
        assert not found.release
        assert not found.candidate_weight_bps
    again = next_served(sent(received), {"fraud": found}, keys)["fraud"]
    assert again == found
    assert next_served(sent(received), {"fraud": found}, {("fraud", n) for n in range(5)})["fraud"] == received
