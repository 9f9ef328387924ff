"""A device follows, serves through outages and reboots, refuses what fails verification, and reports once."""

from dataclasses import replace
from functools import partial

import pytest

from headgate.artifacts.keys import new_signing_key
from headgate.artifacts.store import path
from headgate.runtime.errors import RpcRefused
from headgate.runtime.settings import SettingsError
from headgate.telemetry import counters
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import facts_pb2 as facts
from services.gateway.app import devices_tls
from services.gateway.assignment import arm
from services.gateway.edge.link import LinkDown
from services.gateway.settings import Settings
from tests.gateway import networks
from tests.gateway.edge.harness import MIB, await_version, predict, running, running_fleet, serves, values
from tests.gateway.harness import canary
from tests.runtime.authentication.granted import Granted
from tests.tls import Authority, caller_of, tls_files
from tests.waiting import until


@pytest.fixture
def fleet(tmp_path):
    with running_fleet(tmp_path) as fleet:
        fleet.build(1, networks.affine(2.0))
        fleet.build(2, networks.affine(3.0))
        fleet.build(3, networks.affine(4.0))
        fleet.route(live=1)
        yield fleet


def assigned(name, candidate_bps):
    return counters.ARM_NAMES[arm("salt", name, candidate_bps)]


def device_on(wanted, candidate_bps=5_000):
    return next(name for n in range(100) if assigned(name := f"device-{n}", candidate_bps) == wanted)


def requests(fleet):
    return [(each.candidate_requests, each.stable_requests) for each in fleet.log.strata()]


def test_a_device_serves_the_live_version_and_follows_it(fleet):
    with running(fleet.device()) as device:
        await_version(device, 1)
        fleet.route(live=2)
        await_version(device, 2)


def test_the_device_decides_the_arm_whatever_key_its_callers_give(fleet):
    fleet.route(release=canary(5_000, epoch=7))
    for wanted, version in (("candidate", 2), ("stable", 1)):
        with running(fleet.device(device_on(wanted))) as device:
            await_version(device, version)
            answers = {predict(device, key=f"caller-{n}") for n in range(50)}
            assert answers == {(version, wanted)}


def test_a_device_serves_after_a_reboot_without_a_link(fleet):
    with running(fleet.device()) as device:
        await_version(device, 1)
    fleet.cut()
    with running(fleet.device()) as device:
        await_version(device, 1)
        assert device.follower.loads_finished()
        fleet.route(live=2)
        fleet.restore()
        await_version(device, 2)


def test_without_a_link_a_device_stays_on_the_candidate_for_its_lease(fleet):
    fleet.route(release=canary(10_000, epoch=7))
    with running(fleet.device()) as device:
        await_version(device, 2)
        fleet.cut()
        until(lambda: not device.link.is_up, "the cut")
        assert serves(device, 2)


def test_after_the_lease_and_after_a_reboot_without_a_link_a_device_serves_stable(fleet):
    release = canary(10_000, epoch=7)
    release.policy.candidate_lease_ms = 2_000
    fleet.route(release=release)
    with running(fleet.device()) as device:
        await_version(device, 2)
        fleet.cut()
        await_version(device, 1)
    with running(fleet.device()) as device:
        until(lambda: device.follower.loads_finished(), "the versions")
        assert predict(device)[0] == 1


def test_the_silence_of_the_log_counts_for_the_lease_of_the_devices_too(fleet):
    fleet.route(release=canary(10_000, epoch=7))
    with running(fleet.device()) as device:
        await_version(device, 2)
        fleet.fold.silent_seconds = 600.0
        await_version(device, 1)


def test_an_unsigned_version_is_refused_and_the_device_keeps_what_it_has(fleet):
    with running(fleet.device()) as device:
        await_version(device, 1)
        fleet.build(4, networks.affine(5.0), key=new_signing_key())
        fleet.route(live=4)
        until(lambda: any(status.failures for status in device.follower.statuses()), "the refusal")
        (status,) = device.follower.statuses()
        assert "no trusted key has signed it" in status.failures[0].reason
        assert predict(device)[0] == 1
    fleet.cut()
    with running(fleet.device()) as device:
        await_version(device, 1)


def test_a_damaged_file_is_never_served_and_is_downloaded_again(fleet):
    with running(fleet.device()) as device:
        await_version(device, 1)
    blobs = fleet.directory / "devices" / "device-1" / "blobs"
    for blob in blobs.iterdir():
        blob.write_bytes(b"x" + blob.read_bytes()[1:])
    fleet.cut()
    with running(fleet.device()) as device:
        until(lambda: device.follower.loads_finished(), "the refusal")
        with pytest.raises(RpcRefused, match="no version of fraud is ready"):
            predict(device)
        fleet.restore()
        await_version(device, 1)


def test_a_version_whose_file_is_damaged_in_the_store_is_refused_until_it_is_mended(fleet):
    sha256 = fleet.fold.models["fraud"].versions[2].artifact.files[0].sha256
    stored = fleet.directory / "store" / path(sha256)
    with running(fleet.device()) as device:
        await_version(device, 1)
        sound = stored.read_bytes()
        stored.write_bytes(networks.affine(9.0))
        fleet.route(live=2)
        until(lambda: any(status.failures for status in device.follower.statuses()), "the refusal")
        (status,) = device.follower.statuses()
        assert "the artifact store fails: the bytes that are stored as" in status.failures[0].reason
        assert predict(device)[0] == 1
        stored.write_bytes(sound)
        await_version(device, 2)


def test_a_candidate_that_a_device_refuses_leaves_it_on_stable_without_evidence(fleet):
    fleet.build(4, networks.affine(5.0), key=new_signing_key())
    with running(fleet.device(name := device_on("candidate"))) as device:
        await_version(device, 1)
        fleet.route(release=canary(5_000, epoch=7, candidate=4))
        until(lambda: any(status.failures for status in device.follower.statuses()), "the refusal")
        assert predict(device)[0] == 1
        device.report()
    assert (assigned(name, 5_000), requests(fleet)) == ("candidate", [])


def test_what_a_device_counted_is_in_the_log_once_after_an_outage_and_a_reboot(fleet):
    fleet.route(release=canary(5_000, epoch=7))
    name = device_on("candidate")
    with running(fleet.device(name)) as device:
        await_version(device, 2)
        counted = 1 + len([predict(device) for _ in range(9)])
        until(lambda: requests(fleet) == [(counted, 0)], "the first report")
        fleet.cut()
        counted += len([predict(device) for _ in range(5)])
    fleet.restore()
    with running(fleet.device(name)) as device:
        until(lambda: requests(fleet) == [(counted, 0)], "the report after the reboot")
        await_version(device, 2)
        until(lambda: requests(fleet) == [(counted + 1, 0)], "the answer after it")
    (stratum,) = fleet.log.strata()
    assert (stratum.candidate_keys, stratum.candidate_new_keys) == (1, 1)


def test_a_report_that_the_log_does_not_take_is_sent_again(fleet):
    fleet.route(release=canary(5_000, epoch=7))
    with running(fleet.device(device_on("candidate"))) as device:
        fleet.log.fails = True
        await_version(device, 2)
        until(lambda: device.unreported == 1, "the count")
        fleet.log.fails = False
        until(lambda: device.unreported == 0, "the report")
    assert requests(fleet) == [(1, 0)]


def test_a_report_after_the_end_of_the_release_is_not_needed(fleet):
    release = canary(5_000, epoch=7)
    fleet.route(release=release)
    with running(fleet.device(device_on("candidate"))) as device:
        await_version(device, 2)
        fleet.cut()
        predict(device)
        release.ended_at_ms = 5
        fleet.route(live=2, release=release)
        fleet.restore()
        until(lambda: device.unreported == 0, "the answer")


def test_a_gateway_shows_how_many_devices_follow_it_and_how_many_refuse_a_version(fleet):
    shown = partial(values, fleet.metrics)
    fleet.build(4, networks.affine(5.0), key=new_signing_key())
    fleet.route(release=canary(5_000, epoch=7))
    with running(fleet.device(device_on("stable"))) as device:
        await_version(device, 1)
        until(lambda: predict(device) and shown().get("headgate_edge_totals_total"), "the report")
        fleet.route(live=4)
        until(lambda: shown()["headgate_edge_devices_refusing"] == 1, "the report of the refusal")
        assert shown()["headgate_edge_devices"] == 1
    until(lambda: shown()["headgate_edge_devices"] == 0, "the end of the watch")


def test_files_that_no_route_names_are_deleted(fleet):
    blobs = fleet.directory / "devices" / "device-1" / "blobs"
    with running(fleet.device()) as device:
        await_version(device, 1)
        first = {file.name for file in blobs.iterdir()}
        fleet.route(live=2)
        await_version(device, 2)
        until(lambda: not first & {file.name for file in blobs.iterdir()}, "the deletion")


def test_a_version_that_does_not_fit_on_the_disk_is_refused_with_the_option_to_raise(fleet):
    fleet.build(4, networks.embedding(MIB))
    with running(fleet.device(max_disk_bytes=MIB)) as device:
        await_version(device, 1)
        fleet.route(live=4)
        until(lambda: any(status.failures for status in device.follower.statuses()), "the refusal")
        (status,) = device.follower.statuses()
        assert "the limit is 1 MiB; see --disk-mib" in status.failures[0].reason
        assert predict(device)[0] == 1


def test_a_device_that_waits_for_its_turn_to_download_refuses_nothing(fleet):
    fleet.server._blobs._max_readers = 0
    with running(fleet.device()) as device:
        until(lambda: device.follower.table.entries, "the routes")
        until(lambda: values(fleet.metrics).get("headgate_rpc_requests_total"), "the first try")
        assert not any(status.failures for status in device.follower.statuses())
        fleet.server._blobs._max_readers = 64
        await_version(device, 1)


def test_a_file_that_cannot_be_had_without_a_link_is_no_refusal(fleet):
    with running(fleet.device()) as device:
        await_version(device, 1)
    blobs = fleet.directory / "devices" / "device-1" / "blobs"
    for file in blobs.iterdir():
        file.unlink()
    fleet.cut()
    with running(fleet.device()) as device:
        until(device.follower.loads_finished, "the failures")
        assert not any(status.failures for status in device.follower.statuses())


def test_a_device_may_serve_some_models_only(fleet):
    fleet.build(1, networks.affine(7.0), model="churn")
    fleet.route("churn", live=1)
    with running(fleet.device(models=("churn",))) as device:
        await_version(device, 1, "churn")
        assert list(device.follower.table.entries) == ["churn"]


def test_two_processes_cannot_use_one_folder(fleet):
    first = fleet.device()
    with pytest.raises(SettingsError, match="another process uses this folder"):
        fleet.device()
    first.close()
    fleet.device().close()


def test_devices_may_need_a_certificate_where_callers_of_predictions_need_none(tmp_path):
    authority = Authority.new(tmp_path, "authority")
    files, log = tls_files(authority, tmp_path), f"sqlite://{tmp_path}/log.db"
    settings = Settings(log=log, artifacts=(tmp_path / "store").as_uri(), keys=tmp_path)
    named = replace(settings, edge_client_ca=authority.file)
    assert devices_tls(settings, files) == files
    assert devices_tls(named, files) == replace(files, client_ca=authority.file)
    with pytest.raises(SettingsError, match="HEADGATE_EDGE_CLIENT_CA needs HEADGATE_TLS_CERTIFICATE"):
        devices_tls(named, None)
    with pytest.raises(SettingsError, match=r"HEADGATE_EDGE_CLIENT_CA: .*missing"):
        devices_tls(replace(settings, edge_client_ca=tmp_path / "missing.pem"), files)


def test_a_device_calls_with_tls_and_shows_its_certificate(tmp_path):
    authority = Authority.new(tmp_path, "authority")
    files = tls_files(authority, tmp_path, client_ca=True)
    caller = caller_of(authority, tmp_path, certificate=True, uri="spiffe://headgate/edge/device-1")
    with running_fleet(tmp_path, tls=files) as fleet:
        fleet.build(1, networks.affine(2.0))
        fleet.route(live=1)
        with running(fleet.device(tls=caller)) as device:
            await_version(device, 1)
            report = edge.ReportDeviceRequest(environment="production", device="device-2", incarnation="i")
            with pytest.raises(LinkDown, match="the certificate names edge/device-1: device device-2 needs one"):
                device.link.report(report)
        for name, other in (("stranger", caller_of(authority, tmp_path)), ("device-2", caller)):
            with running(fleet.device(name, tls=other)) as refused:
                until(lambda refused=refused: refused.link.failures, "the refusal")
                assert not refused.link.is_up


def test_a_device_proves_itself_by_a_token_whose_file_may_be_replaced(tmp_path):
    granted, file = Granted(), tmp_path / "token"
    file.write_text(granted.made_token("till-1", facts.ROLE_DEVICE))
    with running_fleet(tmp_path, granted=granted) as fleet:
        fleet.build(1, networks.affine(2.0))
        fleet.build(2, networks.affine(3.0))
        fleet.route(live=1)
        with running(fleet.device("nobody")) as refused, running(fleet.device(token_file=file)) as device:
            await_version(device, 1)
            until(lambda: refused.link.failures, "the refusal")
            assert not refused.link.is_up
            granted.send(commands.RevokeToken(token="till-1"))
            until(lambda: device.link.failures, "the end of its watch")
            file.write_text(granted.made_token("till-1-new", facts.ROLE_DEVICE))
            fleet.route(live=2)
            await_version(device, 2)
