"""Where a caller's routing key may stand, and which place counts first."""

import pytest

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.runtime.errors import RpcRefused
from headgate.runtime.settings import SettingsError, from_env
from services.gateway.request import request_of
from services.gateway.routing_key import KeyPlaces, cookie_named, routing_key
from services.gateway.settings import Settings

PLACES = KeyPlaces("x-customer", "session")
ALL = {"x-routing-key": "a", "x-customer": "c", "cookie": "session=d"}


def request(key=None, id_="f"):
    made = inference.ModelInferRequest(id=id_)
    if key is not None:
        made.parameters["routing_key"].string_param = key
    return made


def without(*names):
    return {name: value for name, value in ALL.items() if name not in names}


@pytest.mark.parametrize(
    ("metadata", "sent", "key"),
    [
        (ALL, request("b"), "a"),
        (without("x-routing-key"), request("b"), "b"),
        (without("x-routing-key"), request(), "c"),
        (without("x-routing-key", "x-customer"), request(), "d"),
        ({}, request(), "f"),
        ({"x-routing-key": ""}, request("b"), ""),
    ],
)
def test_the_header_counts_before_the_parameter_and_both_before_the_places_of_the_settings(metadata, sent, key):
    assert routing_key(request_of(sent), metadata.get, PLACES) == key


def test_without_settings_other_headers_and_cookies_are_no_key():
    assert routing_key(request_of(request()), without("x-routing-key").get, KeyPlaces()) == "f"


def test_a_request_without_any_key_has_none():
    assert routing_key(request_of(request(id_="")), {}.get, PLACES) is None


def test_a_key_that_is_no_text_is_refused():
    sent = request()
    sent.parameters["routing_key"].int64_param = 1
    with pytest.raises(RpcRefused, match="expected a string"):
        routing_key(request_of(sent), {}.get, PLACES)


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("session=1", "1"),
        ('a=b; session="1 2"; c', "1 2"),
        ("xsession=1; session =2", None),
        ("session=", ""),
        ("session", None),
        ("", None),
        (None, None),
        ("a=session=3;;session=a=b", "a=b"),
    ],
)
def test_the_cookie_with_exactly_this_name_is_read(header, value):
    assert cookie_named("session", header) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HEADGATE_ROUTING_HEADER", "X-Customer"),
        ("HEADGATE_ROUTING_HEADER", "grpc-timeout"),
        ("HEADGATE_ROUTING_HEADER", "a b"),
        ("HEADGATE_ROUTING_COOKIE", "a=b"),
    ],
)
def test_a_setting_that_can_name_no_header_or_cookie_is_refused(name, value):
    needed = {"HEADGATE_LOG": "sqlite:///x", "HEADGATE_ARTIFACTS": "file:///x", "HEADGATE_KEYS": "/x"}
    with pytest.raises(SettingsError, match=name):
        from_env(Settings, needed | {name: value})
