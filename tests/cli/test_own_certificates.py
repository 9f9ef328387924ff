"""The certificates of `headgate up --tls`: made once, renewed in time, and found by every command of the folder."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from headgate.certificates.authority import LIFETIME
from headgate.certificates.folder import CertificateFolder
from headgate.certificates.holder import SERVICES, Holder, Kind
from headgate.cli import own_certificates
from headgate.cli.own_certificates import OwnCertificates
from headgate.cli.session import CommandFailed, new_session, running_tls
from headgate.cli.up import renew
from headgate.client.tls import ClientTls
from headgate.runtime.tls import TlsFiles


def made(home: Path) -> OwnCertificates:
    certificates = OwnCertificates(home)
    certificates.refresh()
    return certificates


def test_each_service_gets_its_own_certificate_and_only_predictions_need_none(tmp_path: Path) -> None:
    certificates = made(tmp_path)
    for service in SERVICES:
        environ = certificates.environ(service)
        assert ("HEADGATE_TLS_CLIENT_CA" in environ) is (service != "gateway")
        pair = Path(environ["HEADGATE_TLS_CERTIFICATE"])
        assert pair == tmp_path / "keys/certificates" / service / "tls.pem"
        TlsFiles(pair, Path(environ["HEADGATE_TLS_KEY"])).read()
    certificates.caller.context()


def test_a_second_start_keeps_them_and_late_in_their_time_they_are_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def contents() -> dict[str, bytes]:
        return {str(file): file.read_bytes() for file in (tmp_path / "keys/certificates").rglob("*") if file.is_file()}

    made(tmp_path)
    before, begin = contents(), own_certificates.utc_now()
    made(tmp_path)
    assert contents() == before
    monkeypatch.setattr(own_certificates, "utc_now", lambda: begin + LIFETIME - timedelta(days=1))
    made(tmp_path)
    changed = {Path(file).name for file, content in contents().items() if before[file] != content}
    assert changed == {"tls.pem"}


def test_an_authority_that_cannot_be_used_ends_the_start(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "keys/certificates/authority.key").write_text("no PEM")
    with pytest.raises(CommandFailed, match=r"the authority in .*certificates: the key of the authority"):
        made(tmp_path)


def test_a_renewal_that_fails_is_said_and_ends_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certificates = made(tmp_path)
    with CertificateFolder(tmp_path / "keys/certificates").locked():
        renew(certificates)
    assert "not renewed, and tried again in 1 h: another process writes" in capsys.readouterr().err
    renew(certificates)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("person", "name"), [("ada", "ada"), ("DOMAIN\\Ada L.", "DOMAIN-Ada-L."), ("_ada", "u_ada"), ("é", "u-")]
)
def test_a_person_of_any_name_gets_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, person: str, name: str) -> None:
    monkeypatch.setattr(own_certificates, "logged_in", lambda: person)
    assert (
        made(tmp_path).caller.certificate == tmp_path / "keys/certificates" / str(Holder(Kind.USER, name)) / "tls.pem"
    )


def test_commands_find_the_certificates_unless_they_call_other_services(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    home = tmp_path / ".headgate"
    home.mkdir()
    files = {"ca": str(tmp_path / "ca.pem"), "pair": str(tmp_path / "me.pem")}
    (home / "up.json").write_text(json.dumps({"ports": {"registry": 7_500}, "tls": files}))
    own = ClientTls(tmp_path / "ca.pem", tmp_path / "me.pem", tmp_path / "me.pem")
    assert new_session({}, "").stubs.tls == own
    assert new_session({"registry": "127.0.0.1:7500"}, "").stubs.tls == own
    assert new_session({"registry": "registry.example:7400"}, "").stubs.tls is None
    named = ClientTls(tmp_path / "other.pem")
    assert new_session({}, "", tls=named).stubs.tls == named


@pytest.mark.parametrize("found", ["yes", ["ca"], {"ca": "ca.pem"}, {"ca": 1, "pair": 2}, None])
def test_what_another_program_wrote_there_counts_as_none(tmp_path: Path, found: object) -> None:
    (tmp_path / "up.json").write_text(json.dumps({"tls": found}))
    assert running_tls(tmp_path) is None
