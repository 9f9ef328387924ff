"""The files of a server's certificate: what is refused, and what is read again."""

import logging
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from headgate.runtime.tls import Tls, TlsFiles, TlsUnusable, WatchedTls
from tests.certificates.issued import Issued
from tests.tls import Authority, replace_files, tls_files


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.new(tmp_path, "authority")


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> TlsFiles:
    return tls_files(authority, tmp_path, client_ca=True)


def content(files: TlsFiles) -> Tls:
    assert files.client_ca is not None
    return Tls(files.certificate.read_bytes(), files.key.read_bytes(), files.client_ca.read_bytes())


def test_files_that_belong_together_are_read(files: TlsFiles) -> None:
    assert files.read() == content(files)


@pytest.mark.parametrize("name", ["certificate", "key", "client_ca"])
def test_a_file_that_is_missing_or_no_pem_is_named(files: TlsFiles, name: str) -> None:
    path: Path = getattr(files, name)
    path.write_text("no PEM")
    with pytest.raises(TlsUnusable, match=str(path)):
        files.read()
    path.unlink()
    with pytest.raises(TlsUnusable, match=f"{path}: No such file"):
        files.read()


def test_a_key_of_another_certificate_is_refused(files: TlsFiles, authority: Authority, tmp_path: Path) -> None:
    authority.issue("other", tmp_path / "other.pem", files.key)
    with pytest.raises(TlsUnusable, match="key values mismatch"):
        files.read()


def test_a_key_with_a_password_is_refused_without_a_question(files: TlsFiles) -> None:
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    locked = serialization.BestAvailableEncryption(b"secret")
    encoding, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    files.key.write_bytes(key.private_bytes(encoding, form, locked))
    with pytest.raises(TlsUnusable, match="the key has a password"):
        files.read()


def test_new_files_are_noticed_once(files: TlsFiles, authority: Authority) -> None:
    watched = WatchedTls(files)
    assert not watched.renewed()
    replace_files(authority, files)
    assert watched.renewed()
    assert watched.current == content(files)
    assert not watched.renewed()


def test_between_a_new_certificate_and_its_key_the_last_pair_stays(
    files: TlsFiles, authority: Authority, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    watched = WatchedTls(files)
    before = watched.current
    new_certificate, new_key = tmp_path / "new.pem", tmp_path / "new.key"
    authority.issue("127.0.0.1", new_certificate, new_key)
    os.replace(new_certificate, files.certificate)
    assert not watched.renewed()
    assert not watched.renewed()
    assert watched.current == before
    assert len(caplog.records) == 1, "the same files are logged once"
    os.replace(new_key, files.key)
    assert watched.renewed()
    assert watched.current == content(files)


def test_files_that_vanish_change_nothing(files: TlsFiles) -> None:
    watched = WatchedTls(files)
    before = watched.current
    files.certificate.unlink()
    assert not watched.renewed()
    assert watched.current == before


@pytest.mark.parametrize("asks_callers", [True, False])
def test_a_certificate_that_callers_refuse_for_its_age_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, asks_callers: bool
) -> None:
    issued = Issued(tmp_path / "certificates")
    client_ca = issued.authority_file if asks_callers else None
    for pair, warnings in ((issued.pair("registry"), []), (issued.ended("trainer"), ["the certificate has ended on"])):
        caplog.clear()
        WatchedTls(TlsFiles(pair, pair, client_ca))
        assert [each in caplog.text for each in warnings] == [True] * len(warnings)
        assert len(caplog.records) == len(warnings)
