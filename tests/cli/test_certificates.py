"""`headgate certificates`: what it writes, what it refuses, and what it renews."""

import json
import threading
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headgate.certificates.authority import LIFETIME, SKEW
from headgate.certificates.folder import CertificateFolder
from headgate.certificates.holder import SERVICES
from headgate.cli import certificates
from headgate.runtime.tls import TlsFiles, WatchedTls
from tests.cli.running import Headgate, run_headgate


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Headgate:
    monkeypatch.chdir(tmp_path)
    return partial(run_headgate, monkeypatch, capsys)


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Moves the clock of the command line."""
    begin = certificates.utc_now()

    def later(by: timedelta) -> None:
        monkeypatch.setattr(certificates, "utc_now", lambda: begin + by)

    return later


def rows(printed: tuple[int, str, str]) -> dict[str, dict[str, str]]:
    code, out, err = printed
    assert code == 0, err
    return {row["holder"]: row for row in json.loads(out)}


def test_the_first_call_makes_an_authority_and_a_certificate_for_each_service(run: Headgate, tmp_path: Path) -> None:
    made = rows(run("certificates", "create", "certificates", "--host", "a.example", "-o", "json"))
    assert list(made) == list(SERVICES)
    for service in SERVICES:
        file = tmp_path / "certificates" / service / "tls.pem"
        TlsFiles(file, file, tmp_path / "certificates/authority.pem").read()
        assert made[service]["uri"] == f"spiffe://headgate/{service}"
        assert made[service]["hosts"] == f"{service} localhost a.example 127.0.0.1 ::1"


def test_only_this_user_reads_keys_and_everybody_the_authority(run: Headgate, tmp_path: Path) -> None:
    assert run("certificates", "create", "certificates", "--for", "user/alice")[0] == 0
    folder = tmp_path / "certificates"
    modes = {str(path.relative_to(folder)): path.stat().st_mode & 0o777 for path in (folder, *folder.rglob("*"))}
    assert modes.pop("authority.pem") == 0o644
    assert {mode for name, mode in modes.items() if (folder / name).is_dir()} == {0o700}
    assert {mode for name, mode in modes.items() if (folder / name).is_file()} == {0o600}


def test_people_and_devices_are_added_to_the_same_authority(run: Headgate, tmp_path: Path) -> None:
    run("certificates", "create", "certificates")
    trusted = (tmp_path / "certificates/authority.pem").read_bytes()
    more = ("--for", "edge/press-4", "--host", "press.example", "-o", "json")
    made = rows(run("certificates", "create", "certificates", "--for", "user/alice", *more))
    assert made["user/alice"]["hosts"] == ""
    assert made["edge/press-4"]["hosts"] == "localhost press.example 127.0.0.1 ::1"
    assert (tmp_path / "certificates/authority.pem").read_bytes() == trusted
    shown = rows(run("certificates", "show", "certificates", "-o", "json"))
    assert list(shown) == [*sorted(SERVICES), "user/alice", "edge/press-4"]
    assert {row["state"] for row in shown.values()} == {"valid"}


def test_a_certificate_that_is_there_is_never_overwritten(run: Headgate, tmp_path: Path) -> None:
    run("certificates", "create", "certificates", "--for", "gateway")
    file = tmp_path / "certificates/gateway/tls.pem"
    before = file.read_bytes()
    code, _, err = run("certificates", "create", "certificates")
    assert (code, "gateway/tls.pem: there is a certificate already" in err) == (1, True), err
    assert file.read_bytes() == before
    assert not (tmp_path / "certificates/registry").exists(), "some were made, and some not"


def test_a_renewal_replaces_those_that_end_soon(run: Headgate, later: Any) -> None:
    run("certificates", "create", "certificates", "--for", "gateway")
    run("certificates", "create", "certificates", "--for", "registry", "--days", "3")
    code, out, err = run("certificates", "renew", "certificates")
    assert (code, out) == (0, "")
    assert "no certificate in certificates is due" in err
    later(timedelta(days=2, hours=1))
    before = rows(run("certificates", "show", "certificates", "-o", "json"))
    assert {name: row["state"] for name, row in before.items()} == {"gateway": "valid", "registry": "due for renewal"}
    renewed = rows(run("certificates", "renew", "certificates", "-o", "json"))
    assert list(renewed) == ["registry"]
    assert renewed["registry"]["hosts"] == before["registry"]["hosts"]
    assert renewed["registry"]["until"] > before["registry"]["until"]
    later(LIFETIME * 2)
    assert rows(run("certificates", "show", "certificates", "-o", "json"))["gateway"]["state"] == "ended"


def test_a_named_certificate_is_renewed_at_once_for_as_long_as_before(run: Headgate, tmp_path: Path) -> None:
    run("certificates", "create", "certificates", "--for", "gateway", "--days", "3")
    folder = CertificateFolder(tmp_path / "certificates")
    before = (tmp_path / "certificates/gateway/tls.pem").read_bytes()
    assert rows(run("certificates", "renew", "certificates", "--for", "gateway", "-o", "json"))
    assert (tmp_path / "certificates/gateway/tls.pem").read_bytes() != before
    found = folder.held(folder.authority(certificates.utc_now()), folder.holders()[0]).certificate
    assert found.ends_at - found.begins_at == timedelta(days=3) + SKEW


def test_a_server_that_reads_meanwhile_never_gets_a_certificate_with_the_key_of_another(
    run: Headgate, tmp_path: Path
) -> None:
    run("certificates", "create", "certificates", "--for", "gateway")
    folder, file = CertificateFolder(tmp_path / "certificates"), tmp_path / "certificates/gateway/tls.pem"
    now = certificates.utc_now()
    authority, holders = folder.authority(now), folder.holders()
    ended = threading.Event()

    def renew() -> None:
        for _ in range(50):
            folder.renew(authority, now, holders)
        ended.set()

    watched, renewing = WatchedTls(TlsFiles(file, file)), threading.Thread(target=renew)
    renewing.start()
    while not ended.is_set():
        watched.renewed()
        assert watched.current.certificate == watched.current.key, "the file has both"
    renewing.join()
    watched.renewed()
    assert watched.current.key == file.read_bytes()


def test_a_certificate_of_an_authority_that_was_replaced_is_renewed(run: Headgate, tmp_path: Path) -> None:
    run("certificates", "create", "certificates", "--for", "gateway")
    for name in ("authority.pem", "authority.key"):
        (tmp_path / "certificates" / name).unlink()
    run("certificates", "create", "certificates", "--for", "registry")
    shown = rows(run("certificates", "show", "certificates", "-o", "json"))
    assert shown["gateway"]["state"] == "of another authority"
    assert list(rows(run("certificates", "renew", "certificates", "-o", "json"))) == ["gateway"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("show", "missing"), 1, "there is no folder missing"),
        (("renew", "missing"), 1, "there is no folder missing"),
        (("create", "c", "--for", "user/a/b"), 2, "--for 'user/a/b': expected one of registry"),
        (("create", "c", "--host", "a b"), 2, "--host 'a b': expected the name of a host"),
        (("create", "c", "--days", "900"), 2, "'--days': Input should be less than or equal to 825"),
        (("create", "https://a/b"), 2, "this is a URL"),
    ],
)
def test_what_cannot_be_done_is_said(run: Headgate, arguments: tuple[str, ...], code: int, said: str) -> None:
    ended, _, err = run("certificates", *arguments)
    assert (ended, said in " ".join(err.replace("│", " ").split())) == (code, True), err


@pytest.mark.parametrize("name", ["authority.pem", "authority.key"])
def test_an_authority_that_cannot_be_used_is_named_and_never_replaced(run: Headgate, tmp_path: Path, name: str) -> None:
    run("certificates", "create", "certificates", "--for", "gateway")
    file = tmp_path / "certificates" / name
    file.write_text("no PEM")
    for arguments in (("create", "certificates", "--for", "registry"), ("renew", "certificates")):
        code, _, err = run("certificates", *arguments)
        assert (code, "the authority in certificates" in err) == (1, True), err
    assert file.read_text() == "no PEM"


def test_an_authority_that_has_ended_signs_nothing(run: Headgate, later: Any) -> None:
    run("certificates", "create", "certificates", "--for", "gateway")
    later(timedelta(days=3_651))
    code, _, err = run("certificates", "renew", "certificates")
    assert (code, "has ended on" in err) == (1, True), err


def test_two_commands_at_once_do_not_write_over_each_other(run: Headgate, tmp_path: Path) -> None:
    run("certificates", "create", "certificates", "--for", "gateway")
    with CertificateFolder(tmp_path / "certificates").locked():
        code, _, err = run("certificates", "renew", "certificates")
    assert (code, "another process writes certificates" in err) == (1, True), err
