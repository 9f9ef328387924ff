"""The token of a folder: made once, read by its owner alone, and sent by curl as it is written."""

import stat
from pathlib import Path

import pytest

from headgate.access.secret import SECRET, new_secret
from headgate.cli.own_token import OwnToken
from headgate.cli.session import CommandFailed
from headgate.client.stubs import Stubs
from headgate.client.tls import ClientTls
from headgate.v1 import access_service_pb2 as access_service
from services.registry import app as registry
from services.registry.settings import Settings
from tests.tls import Authority, tls_files

CA = ClientTls(Path('/a b/\\ and "/ca.pem'))


@pytest.fixture
def token(tmp_path: Path) -> OwnToken:
    (tmp_path / "keys").mkdir()
    return OwnToken(tmp_path)


def test_a_secret_is_made_once_and_only_its_owner_reads_what_holds_it(token: OwnToken) -> None:
    token.refresh(CA)
    secret = token.file.read_text()
    assert SECRET.fullmatch(secret.strip())
    token.refresh(CA)
    assert token.file.read_text() == secret
    assert {stat.S_IMODE(file.stat().st_mode) for file in (token.file, token.curl_file)} == {0o600}
    assert token.environ() == {"HEADGATE_AUTHENTICATION_FIRST_TOKEN": str(token.file)}


def test_a_folder_that_an_older_version_left_open_is_closed_with_the_first_secret(token: OwnToken) -> None:
    token.file.parent.chmod(0o755)
    token.refresh(CA)
    assert stat.S_IMODE(token.file.parent.stat().st_mode) == 0o700


def test_curl_gets_the_present_secret_and_any_path_of_the_authority(token: OwnToken) -> None:
    token.refresh(CA)
    token.file.write_text(new_secret(lambda count: b"x" * count))
    token.refresh(CA)
    assert token.curl_file.read_text().splitlines() == [
        'proto = "=https"',
        'cacert = "/a b/\\\\ and \\"/ca.pem"',
        f'header = "authorization: Bearer {token.file.read_text()}"',
    ]


def test_a_token_of_another_making_is_kept_and_makes_no_administrator(token: OwnToken) -> None:
    token.file.write_text("eyJhbGciOiJSUzI1NiJ9.e30.c2ln")
    token.refresh(CA)
    assert token.environ() == {}
    assert "Bearer eyJ" in token.curl_file.read_text()


def test_a_file_without_a_token_ends_the_start(token: OwnToken) -> None:
    token.file.write_text("two words")
    with pytest.raises(CommandFailed, match="expected one token"):
        token.refresh(CA)


def test_a_token_that_holds_no_longer_is_said_with_what_to_do(token: OwnToken, tmp_path: Path) -> None:
    authority = Authority.new(tmp_path, "authority")
    files, tls = tls_files(authority, tmp_path), ClientTls(authority.file)
    token.refresh(tls)
    settings = Settings(
        log=f"sqlite://{tmp_path}/log.db",
        port=0,
        tls_certificate=files.certificate,
        tls_key=files.key,
        authentication=True,
        authentication_first_token=token.file,
    )
    running = registry.build(settings)
    address = f"127.0.0.1:{running.start()}"
    try:
        assert token.problem(address, tls) == ""
        with Stubs(address, "", tls=tls, token=token.file.read_text().strip()) as stubs:
            stubs.access.RevokeToken(access_service.RevokeTokenRequest(token="administrator"))
        assert token.problem(address, tls) == (
            f"{token.file} holds no longer: delete it, and the next `headgate up` makes another one"
        )
    finally:
        running.stop(5)
    assert token.problem(address, tls) == "", "who does not answer has not refused"
