"""`headgate version attestations`: what a real registry signs of a live version, and what it refuses to sign."""

import json
from pathlib import Path

import pytest

from headgate.artifacts.bundle import envelope_of, read_bundle
from headgate.artifacts.keys import TRUSTED, load_trusted
from headgate.artifacts.trust_file import TRUST_FILE, Bounds, trust_text
from headgate.cli.session import CommandFailed
from headgate.cli.version_attestations import files_of
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from tests.cli.test_live_artifacts import artifact, home, world
from tests.cli.test_release_verbs import Headgate, headgate
from tests.deployer.world import World

__all__ = ["artifact", "headgate", "home", "world"]

NAMES = ("test-result", "verification-summary-production")


def test_the_verdict_and_the_promotion_are_signed_by_the_registrys_key_and_the_same_each_time(
    world: World, home: Path, artifact: facts.Artifact, headgate: Headgate
) -> None:
    code, out, err = headgate("version", "attestations", "fraud/1")
    assert (code, [name in out for name in NAMES]) == (0, [True, True]), err
    assert headgate("version", "attestations", "fraud/1", "first")[0] == 0
    assert headgate("alias", "set", "fraud@best", "1")[0] == 0
    assert headgate("version", "attestations", "fraud@best", "again")[0] == 0
    written = {file.name: file.read_bytes() for file in Path("first").iterdir()}
    assert written == {file.name: file.read_bytes() for file in Path("again").iterdir()}
    assert written.keys() == {f"{name}.{form}.json" for name in NAMES for form in ("sigstore", "dsse")}
    trusted = load_trusted(home / "keys")
    for name in NAMES:
        bundle = read_bundle(written[f"{name}.sigstore.json"])
        assert trusted[bundle.key_id].has_signed(bundle.signature, bundle.signed)
        assert envelope_of(written[f"{name}.sigstore.json"]) == written[f"{name}.dsse.json"]
        files = {each["name"]: each["digest"]["sha256"] for each in json.loads(bundle.payload)["subject"]}
        assert files.items() >= {file.name: file.sha256 for file in artifact.files}.items()
    code, _, err = headgate("version", "attestations", "fraud/1", "first")
    assert (code, "first exists: nothing is overwritten" in err) == (1, True)
    code, _, err = headgate("version", "attestations", "fraud/9")
    assert (code, "version 9 of fraud does not exist" in err) == (3, True)


def test_a_revoked_key_signs_nothing_and_the_download_goes_on_without(
    world: World, home: Path, headgate: Headgate
) -> None:
    (key_id,) = load_trusted(home / "keys")
    trust = home / "keys" / TRUSTED / TRUST_FILE
    trust.write_text(trust_text({key_id: Bounds(revoked="it was lost")}))
    code, _, err = headgate("version", "attestations", "fraud/1")
    assert (code, "is revoked: it was lost" in err) == (1, True)
    trust.rename("trust.toml")
    key = home / "keys" / "registry" / "signing.key"
    key.rename(key.with_suffix(".away"))
    code, _, err = headgate("version", "download", "fraud/1", "copy")
    assert (code, "no attestations are written" in err, "there is no signing key" in err) == (0, True, True)
    assert not Path("copy/attestations").exists()


def test_a_version_whose_gate_has_not_decided_has_none_and_says_why(world: World, headgate: Headgate) -> None:
    world.train(2)
    world.wait_for(lambda state: 2 in state.versions)
    code, out, err = headgate("version", "attestations", "fraud/2")
    assert (code, out) == (0, "")
    assert "version 2 of fraud" in err
    assert "so it has no signed files to attest" in err
    code, _, err = headgate("version", "attestations", "fraud/2", "folder")
    assert (code, Path("folder").exists()) == (3, False)


@pytest.mark.parametrize(("name", "bundle"), [("../up", '{"dsseEnvelope":{}}'), ("test", "{}"), ("test", "no JSON")])
def test_an_answer_that_is_no_attestation_is_not_written(name: str, bundle: str) -> None:
    with pytest.raises(CommandFailed, match="an attestation that is none"):
        files_of([registry_service.Attestation(name=name, bundle=bundle)])
