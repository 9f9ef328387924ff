"""The certificates of `headgate up`: made once, renewed in time, and found by every command of the folder."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from headgate.certificates.authority import LIFETIME
from headgate.certificates.folder import CertificateFolder
from headgate.certificates.holder import SERVICES
from headgate.cli import own_certificates
from headgate.cli.own_certificates import OwnCertificates
from headgate.cli.session import CommandFailed, new_session, running_tls
from headgate.cli.up import renew
from headgate.client.tls import ClientTls
from headgate.runtime.tls import TlsFiles

SECRET = "hgt_" + "s" * 43


def made(home: Path) -> OwnCertificates:
    certificates = OwnCertificates(home)
    certificates.refresh()
    return certificates


def test_each_service_gets_its_own_certificate_and_no_caller_needs_one(tmp_path: Path) -> None:
    certificates = made(tmp_path)
    for service in SERVICES:
        environ = certificates.environ(service)
        assert "HEADGATE_TLS_CLIENT_CA" not in environ
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


def test_a_start_that_was_killed_before_the_authority_was_whole_is_made_good_by_the_next(tmp_path: Path) -> None:
    made(tmp_path)
    (tmp_path / "keys/certificates/authority.pem").unlink()
    made(tmp_path).caller.context()
    assert all(TlsFiles(file, file).read() for file in (tmp_path / "keys/certificates").glob("*/tls.pem"))


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


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in which `headgate up` runs, with the registry at another port than the usual one."""
    monkeypatch.chdir(tmp_path)
    home = tmp_path / ".headgate"
    home.mkdir()
    (home / "up.json").write_text(json.dumps({"ports": {"registry": 7_500}, "tls": {"ca": str(tmp_path / "ca.pem")}}))
    (home / "token").write_text(f"{SECRET}\n")
    return home


@pytest.mark.parametrize("addresses", [{}, {"registry": "127.0.0.1:7500"}])
def test_commands_find_authority_and_token(home: Path, addresses: dict[str, str]) -> None:
    found = new_session(addresses, "").stubs
    assert (found.tls, found.token) == (ClientTls(home.parent / "ca.pem"), SECRET)


def test_what_is_named_counts_in_the_place_of_what_is_found(home: Path) -> None:
    named = ClientTls(home.parent / "other.pem")
    found = new_session({}, "", tls=named, token="theirs").stubs
    assert (found.tls, found.token) == (named, "theirs")


@pytest.mark.parametrize("tls", [None, ClientTls(Path("other.pem"))])
def test_no_other_services_get_the_token_of_the_folder(home: Path, tls: ClientTls | None) -> None:
    found = new_session({"registry": "registry.example:7400"}, "", tls=tls).stubs
    assert (found.tls, found.token) == (tls, "")


def test_what_listens_while_headgate_up_does_not_run_gets_no_token(home: Path) -> None:
    (home / "up.json").unlink()
    assert new_session({}, "").stubs.token == ""


@pytest.mark.parametrize("found", ["yes", ["ca"], {"ca": 1}, {"pair": "me.pem"}, None])
def test_what_another_program_wrote_there_counts_as_none(tmp_path: Path, found: object) -> None:
    (tmp_path / "up.json").write_text(json.dumps({"tls": found}))
    assert running_tls(tmp_path) is None
