"""The files of others that browsers load are the ones that their authors published, each with its licence."""

from hashlib import sha256

from services.portal.rendering import STATIC

VENDORED = STATIC / "vendor"


def test_every_vendored_file_has_its_digest_and_its_licence():
    lines = (VENDORED / "SHA256SUMS").read_text().splitlines()
    listed = {name: digest for digest, name in (line.split() for line in lines)}
    found = {file.name for file in VENDORED.iterdir() if file.suffix in (".js", ".css")}
    assert found == listed.keys()
    assert {name: sha256((VENDORED / name).read_bytes()).hexdigest() for name in found} == listed
    assert {f"{name.split('-')[0]}-LICENSE.txt" for name in found} <= {file.name for file in VENDORED.iterdir()}
