"""What a gateway remembers of its devices, page by page, with a moved clock."""

import pytest

from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.fleet.roster import FORGET_SECONDS, MAX_READ, MAX_REFUSED, Roster


def report(device, refused=(), **served):
    failures = [telemetry.LoadFailure(version=version, reason=reason) for version, reason in refused]
    return edge.ReportDeviceRequest(
        device=device,
        served=[edge.ServedModel(model=model, version=version) for model, version in served.items()],
        routes=[telemetry.RouteStatus(model="fraud", failures=failures)],
    )


def names(page):
    return [each.device for each in page.devices]


def listed(roster, now=0.0, **fields):
    return roster.page(edge.ListDevicesRequest(**fields), now)


def test_a_device_is_listed_with_what_it_said_last_and_how_long_ago():
    roster = Roster()
    roster.follow("till-1", 1.0)
    roster.report(report("till-1", [(3, "not signed")], fraud=2), 5.0)
    (found,) = listed(roster, 7.5).devices
    assert (found.device, found.following, found.silent_ms) == ("till-1", True, 2_500)
    assert [(each.model, each.version) for each in found.served] == [("fraud", 2)]
    assert [(each.model, each.version, each.reason) for each in found.refused] == [("fraud", 3, "not signed")]


def test_a_device_is_away_once_all_its_watches_have_ended():
    roster = Roster()
    roster.follow("till-1", 0.0)
    roster.follow("till-1", 1.0)  # again, before the gateway has seen the end of the first
    roster.leave("till-1", 2.0)
    assert listed(roster).devices[0].following
    roster.leave("till-1", 3.0)
    assert not listed(roster).devices[0].following


def test_only_devices_in_trouble_are_listed_if_asked():
    roster = Roster()
    for name in ("away", "sound", "refuses"):
        roster.report(report(name, [(3, "not signed")] if name == "refuses" else ()), 0.0)
    for name in ("sound", "refuses"):
        roster.follow(name, 0.0)
    assert names(listed(roster)) == ["away", "refuses", "sound"]
    assert names(listed(roster, only_troubled=True)) == ["away", "refuses"]


def test_what_may_not_be_read_is_not_there_and_makes_no_trouble():
    roster = Roster()
    roster.follow("till-1", 0.0)
    roster.report(report("till-1", [(3, "not signed")], fraud=2, churn=1), 0.0)

    def of_churn(**fields):
        return roster.page(edge.ListDevicesRequest(**fields), 0.0, lambda model: model == "churn")

    (found,) = of_churn().devices
    assert ([each.model for each in found.served], list(found.refused)) == (["churn"], [])
    assert names(of_churn(only_troubled=True)) == []


@pytest.mark.parametrize("count", [0, 1, 7, 8, MAX_READ + 5])
def test_pages_have_each_device_once_by_name(count):
    roster = Roster()
    for number in reversed(range(count)):
        roster.report(report(f"till-{number:05}"), 0.0)
    found, token = [], ""
    for _ in range(count + 1):
        page = listed(roster, page_size=900 if count > 100 else 7, page_token=token)
        found, token = found + names(page), page.next_page_token
        if not token:
            break
    assert found == [f"till-{number:05}" for number in range(count)]
    assert token == ""


def test_one_page_looks_at_a_bounded_number_of_devices():
    roster = Roster()
    for number in range(MAX_READ + 1):
        roster.follow(f"till-{number:05}", 0.0)
    roster.leave(f"till-{MAX_READ:05}", 1.0)
    first = listed(roster, only_troubled=True)
    assert (names(first), first.next_page_token) == ([], f"till-{MAX_READ - 1:05}")
    second = listed(roster, only_troubled=True, page_token=first.next_page_token)
    assert (names(second), second.next_page_token) == ([f"till-{MAX_READ:05}"], "")


def test_the_device_that_was_silent_for_longest_is_forgotten_first():
    roster = Roster(max_devices=2)
    for at, name in enumerate(("a", "b", "a", "c")):
        roster.report(report(name), float(at))
    assert names(listed(roster)) == ["a", "c"]


def test_a_device_is_forgotten_after_a_week_of_silence():
    roster = Roster()
    roster.report(report("old"), 0.0)
    roster.report(report("new"), 10.0)
    assert names(listed(roster, FORGET_SECONDS)) == ["new", "old"]
    assert names(listed(roster, FORGET_SECONDS + 1.0)) == ["new"]


def test_what_is_kept_of_a_device_is_bounded():
    roster = Roster()
    refused = [(version, "x" * 10_000) for version in range(1, 40)]
    roster.report(report("till-1", refused, **{f"model{n}": 1 for n in range(200)}), 0.0)
    (found,) = listed(roster).devices
    assert (len(found.served), len(found.refused), found.ByteSize() < 8_192) == (50, MAX_REFUSED, True)
