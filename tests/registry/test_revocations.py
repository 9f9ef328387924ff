"""The registry quarantines what is in use and signed by revoked keys alone, once for each version and key."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate.artifacts.key_changes import revoke, rotate
from headgate.artifacts.key_files import KeyUnusable
from headgate.artifacts.keys import TRUSTED
from headgate.artifacts.manifest import store_files
from headgate.artifacts.trust_file import TRUST_FILE
from headgate.log import topics
from headgate.log.port import PARTITIONS
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from services.registry.revocations import Revocations, in_use
from tests.domain.scenario import LEASE_MS, canary, report
from tests.registry.test_signing import FILES, Site, site_in


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with site_in(tmp_path) as site:
        yield site


def looking(site: Site) -> Revocations:
    return Revocations(site.store, site.folder / "keys", site.decider._fold, site.decider)


def sign_and_release(site: Site, number: int = 1) -> str:
    """A version that is signed with the present key, and the candidate of a release. Returns the id of the key."""
    signed(site, number)
    release(site, number)
    return site.version(number).artifact.signed_by


def signed(site: Site, number: int = 1) -> None:
    site.train(store_files(site.store, FILES), number)
    site.signing.once(0)


def release(site: Site, number: int = 1) -> None:
    numbers = {"version": number, "attempt": 1}
    site.send(start_evaluation=commands.StartEvaluation(worker="evaluator-0", lease_ms=LEASE_MS, **numbers))
    evaluated = facts.EvaluationFinished(report=report(0.95), **numbers)
    site.send(report_evaluation_finished=commands.ReportEvaluationFinished(fact=evaluated))
    site.send(decide_gate=commands.DecideGate(version=number))
    started = commands.StartRelease(
        environment="production", candidate=number, strategy=configuration.STRATEGY_DIRECT, reason="new"
    )
    site.send(start_release=started)


def revoked(site: Site, key_id: str) -> None:
    rotate(site.folder / "keys")
    revoke(site.folder / "keys", key_id, "the disk was lost")


def quarantines(site: Site) -> list[facts.LifecycleRecord]:
    log = site.decider._log
    read = [record for partition in range(PARTITIONS) for record in log.read(topics.LIFECYCLE, partition, 0)]
    found = [facts.LifecycleRecord.FromString(record.value or b"") for record in read]
    return [record for record in found if record.HasField("candidate_quarantined")]


def test_a_candidate_whose_key_is_revoked_is_quarantined_with_key_and_reason(site: Site) -> None:
    revocations = looking(site)
    key_id = sign_and_release(site)
    revocations.once()
    assert not site.version().quarantined
    revoked(site, key_id)
    revocations.once()
    (record,) = quarantines(site)
    assert record.actor == "registry"
    why = f"the key that has signed it is revoked: the disk was lost (key {key_id})"
    assert record.candidate_quarantined.reason == why


def test_a_version_that_comes_into_use_after_the_revocation_is_quarantined_too(site: Site) -> None:
    revocations = looking(site)
    signed(site)
    revoked(site, site.version().artifact.signed_by)
    revocations.once()
    assert not site.version().quarantined  # nothing uses it yet
    release(site)
    revocations.once()
    assert site.version().quarantined


def test_a_quarantine_that_a_person_has_lifted_stays_lifted_also_after_a_restart(site: Site) -> None:
    revocations = looking(site)
    revoked(site, sign_and_release(site))
    revocations.once()
    site.send(lift_quarantine=commands.LiftQuarantine(version=1, reason="checked by hand"))
    revocations.once()
    looking(site).once()
    assert not site.version().quarantined
    assert len(quarantines(site)) == 1


def test_a_version_that_the_new_key_has_signed_is_left_alone(site: Site) -> None:
    old, _ = rotate(site.folder / "keys")
    revoke(site.folder / "keys", old.key_id, "the disk was lost")
    sign_and_release(site)
    looking(site).once()
    assert not site.version().quarantined


def test_a_trust_file_that_has_a_fault_now_is_looked_at_again(site: Site) -> None:
    revocations = looking(site)
    revoked(site, sign_and_release(site))
    file = site.folder / "keys" / TRUSTED / TRUST_FILE
    good = file.read_text()
    file.write_text("x =")
    with pytest.raises(KeyUnusable, match="is wrong"):
        revocations.once()
    file.write_text(good)
    revocations.once()
    assert site.version().quarantined


def test_what_is_live_and_what_is_a_candidate_is_in_use() -> None:
    assert [version.version for version in in_use(canary().state)] == [1, 2]
