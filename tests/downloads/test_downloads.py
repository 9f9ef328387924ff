"""Downloads from real servers into the cache."""

import errno
import hashlib
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from headgate.downloads.cache import Cache
from headgate.downloads.faults import Refused, Stopped
from headgate.downloads.open import source_of
from headgate.downloads.places import places_of
from headgate.downloads.source import LocalFile, Source
from headgate.downloads.transfer import Ending, Patience, Wanted
from headgate.downloads.web import Web
from tests.downloads.servers import CONTENT, SHA256, Files, serving, signed_by
from tests.tls import Authority
from tests.waiting import PATIENCE_SECONDS, until

MIB = 1 << 20
PATIENT = Patience(seconds=PATIENCE_SECONDS, outage_seconds=PATIENCE_SECONDS, first_pause_seconds=0)
WANTED = Wanted(SHA256, MIB)


@pytest.fixture
def files() -> Files:
    return Files({"/rows.csv": CONTENT})


@pytest.fixture
def server(files: Files) -> Iterator[str]:
    with serving(files) as url:
        yield url


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache", MIB)


def ending(stop: threading.Event | None = None, patience: Patience = PATIENT) -> Ending:
    return Ending(stop or threading.Event(), patience)


def fetched(cache: Cache, source: Source, wanted: Wanted = WANTED) -> bytes:
    """The content; the use of the file has ended then."""
    lease = cache.fetch(source, wanted, ending())
    try:
        return lease.path.read_bytes()
    finally:
        lease.close()


def source(url: str, places: str = "", credentials: str = "") -> Source:
    allowed = places_of(places or "http://127.0.0.1:" + url.split(":")[2].split("/")[0])
    return source_of(url, Web(allowed, credentials))


def refusal(cache: Cache, source: Source, wanted: Wanted = WANTED, patience: Patience = PATIENT) -> str:
    with pytest.raises(Refused) as refused:
        cache.fetch(source, wanted, ending(patience=patience))
    assert list(cache.parts.iterdir()) == []
    return str(refused.value)


def test_a_file_is_downloaded_once_and_then_comes_from_the_cache(cache: Cache, server: str, files: Files) -> None:
    assert [fetched(cache, source(f"{server}/rows.csv")) for _ in range(2)] == [CONTENT, CONTENT]
    assert files.asked == [("/rows.csv", "")]
    assert cache.size() == len(CONTENT)


def test_a_server_without_a_size_and_without_ranges_is_read_all_the_same(
    cache: Cache, server: str, files: Files
) -> None:
    files.announces_size = files.knows_ranges = False
    large = Cache(cache.folder, 256 * MIB)
    assert fetched(large, source(f"{server}/rows.csv")) == CONTENT
    assert large.size() == len(CONTENT)


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_download_goes_on_after_the_connection_was_lost(
    cache: Cache, server: str, files: Files, knows_ranges: bool
) -> None:
    files.knows_ranges = knows_ranges
    files.cut["/rows.csv"] = [1000, 2000]
    assert fetched(cache, source(f"{server}/rows.csv")) == CONTENT
    assert files.asked == [("/rows.csv", ""), ("/rows.csv", "bytes=1000-"), ("/rows.csv", files.asked[2][1])]
    assert files.asked[2][1] == f"bytes={3000 if knows_ranges else 2000}-"


def test_a_file_that_was_replaced_during_an_interruption_is_read_from_the_beginning(
    cache: Cache, server: str, files: Files
) -> None:
    files.content["/rows.csv"] = CONTENT.upper()[::-1]
    files.cut["/rows.csv"] = [1000]
    files.after_cut = lambda: files.content.update({"/rows.csv": CONTENT})
    assert fetched(cache, source(f"{server}/rows.csv")) == CONTENT
    assert [range_ for _, range_ in files.asked] == ["", "bytes=1000-", ""]


def test_a_server_that_is_away_for_a_moment_is_asked_again(cache: Cache, server: str, files: Files) -> None:
    files.status["/rows.csv"] = [503, 429, 500]
    assert fetched(cache, source(f"{server}/rows.csv")) == CONTENT


def test_a_server_that_stays_away_is_given_up_with_its_answer(cache: Cache, server: str, files: Files) -> None:
    files.status["/rows.csv"] = [503]
    impatient = Patience(PATIENCE_SECONDS, outage_seconds=-1, first_pause_seconds=0)
    found = refusal(cache, source(f"{server}/rows.csv"), patience=impatient)
    assert found.startswith(f"{server}/rows.csv: the server answers 503")
    assert found.endswith("try again later")


def test_a_download_that_takes_too_long_ends(cache: Cache, server: str, files: Files) -> None:
    files.waits = threading.Event()
    found = refusal(cache, source(f"{server}/rows.csv"), patience=Patience(seconds=0.2))
    assert found == "the download took longer than 0.2 s; ask the operator for more time"


def test_a_download_ends_when_it_is_stopped_also_while_the_server_is_silent(
    cache: Cache, server: str, files: Files
) -> None:
    files.waits, stop = threading.Event(), threading.Event()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(cache.fetch, source(f"{server}/rows.csv"), WANTED, ending(stop))
        assert files.is_waiting.wait(PATIENCE_SECONDS)
        stop.set()
        with pytest.raises(Stopped):
            running.result(PATIENCE_SECONDS)
    assert cache.size() == 0


def test_two_that_want_one_file_share_one_download(cache: Cache, server: str, files: Files) -> None:
    files.waits = threading.Event()
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(fetched, cache, source(f"{server}/rows.csv")) for _ in range(2)]
        assert files.is_waiting.wait(PATIENCE_SECONDS)
        waits, files.waits = files.waits, None
        waits.set()
        assert [each.result(PATIENCE_SECONDS) for each in both] == [CONTENT, CONTENT]
    assert files.asked == [("/rows.csv", ""), ("/rows.csv", files.asked[1][1])]
    assert files.asked[1][1].startswith("bytes=")


def test_when_the_one_that_downloads_is_stopped_the_other_takes_over(cache: Cache, server: str, files: Files) -> None:
    files.waits, stop = threading.Event(), threading.Event()
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(cache.fetch, source(f"{server}/rows.csv"), WANTED, ending(stop))
        assert files.is_waiting.wait(PATIENCE_SECONDS)
        second = pool.submit(fetched, cache, source(f"{server}/rows.csv"))
        waits, files.waits = files.waits, None
        stop.set()
        assert second.result(PATIENCE_SECONDS) == CONTENT
        assert isinstance(first.exception(PATIENCE_SECONDS), Stopped)
        waits.set()


def test_a_file_that_was_changed_is_refused_with_both_digests(cache: Cache, server: str, files: Files) -> None:
    files.content["/rows.csv"] = b"changed"
    found = refusal(cache, source(f"{server}/rows.csv"))
    assert found.startswith(f"{server}/rows.csv has the SHA-256 {hashlib.sha256(b'changed').hexdigest()}, not {SHA256}")
    assert cache.size() == 0


def test_a_file_that_does_not_exist_is_named(cache: Cache, server: str) -> None:
    assert refusal(cache, source(f"{server}/none.csv")).startswith(f"{server}/none.csv does not exist (404 Not Found")


def test_a_file_above_the_limit_is_refused_before_it_is_read(cache: Cache, server: str, files: Files) -> None:
    found = refusal(cache, source(f"{server}/rows.csv"), Wanted(SHA256, 1000))
    assert (
        found == f"{server}/rows.csv has {len(CONTENT)} bytes or more; the limit is 1000. Split it, or store it smaller"
    )
    files.announces_size = False
    large = Cache(cache.folder, 256 * MIB)
    assert "the limit is 1000" in refusal(large, source(f"{server}/rows.csv"), Wanted(SHA256, 1000))


def test_a_file_that_does_not_fit_into_the_cache_is_refused_with_the_setting(tmp_path: Path, server: str) -> None:
    found = refusal(Cache(tmp_path, len(CONTENT) - 1), source(f"{server}/rows.csv"))
    assert found.startswith(f"{len(CONTENT)} bytes, beside 0 of the same attempt, do not fit into the cache of")
    assert "HEADGATE_DATA_CACHE_BYTES" in found


def test_the_name_and_password_of_a_host_come_from_the_operators_file(
    cache: Cache, server: str, files: Files, tmp_path: Path
) -> None:
    files.password["/rows.csv"] = "reader:s3cr:t"
    secrets = tmp_path / "credentials"
    secrets.write_text(f"https://other:pw@host\n{server.replace('://', '://reader:s3cr%3At@')}\n")
    found = refusal(cache, source(f"{server}/rows.csv"))
    assert found.startswith(f"{server}/rows.csv: access is denied (401 Unauthorized); the operator's file HEADGATE_GIT")
    assert fetched(cache, source(f"{server}/rows.csv", credentials=str(secrets))) == CONTENT


def test_a_redirect_is_followed_on_the_list_only_and_takes_no_password_along(
    cache: Cache, server: str, files: Files, tmp_path: Path
) -> None:
    secrets = tmp_path / "credentials"
    secrets.write_text(server.replace("://", "://reader:pw@"))
    there = Files({"/rows.csv": CONTENT})
    with serving(there) as other:
        files.redirects["/moved.csv"] = f"{other}/rows.csv?signature=abc"
        found = refusal(cache, source(f"{server}/moved.csv", server, str(secrets)))
        assert found.startswith(
            f"{server}/moved.csv redirects to another place: {other} is not allowed by the operator"
        )
        assert there.asked == []
        assert fetched(cache, source(f"{server}/moved.csv", f"{server} {other}", str(secrets))) == CONTENT
    assert files.authorizations[-1].startswith("Basic ")
    assert there.authorizations == [""]


@pytest.mark.parametrize("there", ["http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "//localhost/x"])
def test_a_redirect_to_the_machine_itself_is_refused(cache: Cache, server: str, files: Files, there: str) -> None:
    files.redirects["/moved.csv"] = there
    refusal(cache, source(f"{server}/moved.csv"))


def test_endless_redirects_end(cache: Cache, server: str, files: Files) -> None:
    files.redirects["/loop"] = "/loop"
    assert refusal(cache, source(f"{server}/loop")).startswith(f"{server}/loop: the server redirects more than 5 times")
    assert len(files.asked) == 6


def test_over_https_the_servers_certificate_must_be_trusted(
    cache: Cache, files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.new(tmp_path, "authority")
    with serving(files, authority.server_store(tmp_path)) as url:
        assert "the server's certificate is not trusted" in refusal(cache, source(f"{url}/rows.csv", url))
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
        assert fetched(cache, source(f"{url}/rows.csv", url)) == CONTENT


def test_what_was_used_longest_ago_leaves_first_and_never_what_is_in_use(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 300)
    cache.prepare()
    contents = [bytes([letter]) * 100 for letter in b"abcd"]
    names = [hashlib.sha256(content).hexdigest() for content in contents]
    for moment, content, name in zip(range(4), contents, names, strict=True):
        (tmp_path / name).write_bytes(content)
        if moment < 3:
            fetched(cache, LocalFile(tmp_path / name), Wanted(name, 100))
            os.utime(cache.files / name, (moment, moment))
    used = cache.lease(names[0])
    assert used is not None
    fetched(cache, LocalFile(tmp_path / names[3]), Wanted(names[3], 100))
    assert {path.name for path in cache.files.iterdir()} == {names[0], names[2], names[3]}
    used.close()


def test_who_finds_no_room_beside_files_in_use_waits_until_they_are_not(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 150)
    first, second = (hashlib.sha256(letter * 100).hexdigest() for letter in (b"a", b"b"))
    for letter, name in ((b"a", first), (b"b", second)):
        (tmp_path / name).write_bytes(letter * 100)
    used = cache.fetch(LocalFile(tmp_path / first), Wanted(first, 100), ending())
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(fetched, cache, LocalFile(tmp_path / second), Wanted(second, 100))
        until(lambda: list(cache.parts.iterdir()), "the part of the second file")
        assert not waiting.done()
        used.close()
        assert waiting.result(PATIENCE_SECONDS) == b"b" * 100
    used = cache.fetch(LocalFile(tmp_path / second), Wanted(second, 100), ending())
    found = refusal(cache, LocalFile(tmp_path / first), Wanted(first, 100, beside_bytes=100))
    assert found.startswith("100 bytes, beside 100 of the same attempt")
    used.close()


def test_what_a_killed_process_left_of_a_download_is_no_file_and_makes_room(cache: Cache, server: str) -> None:
    cache.prepare()
    (cache.parts / SHA256).write_bytes(CONTENT[:1000])
    (cache.parts / ("0" * 64)).write_bytes(b"x" * MIB)
    assert fetched(cache, source(f"{server}/rows.csv")) == CONTENT
    assert list(cache.parts.iterdir()) == []


def test_a_file_of_the_cache_that_was_damaged_is_downloaded_again(cache: Cache, server: str, files: Files) -> None:
    fetched(cache, source(f"{server}/rows.csv"))
    (cache.files / SHA256).chmod(0o600)
    (cache.files / SHA256).write_bytes(b"damaged")
    assert fetched(cache, source(f"{server}/rows.csv")) == CONTENT
    assert len(files.asked) == 2


def test_a_full_disk_takes_unused_files_and_then_is_named(
    cache: Cache, server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    old = hashlib.sha256(b"old").hexdigest()
    (tmp_path / "old").write_bytes(b"old")
    fetched(cache, LocalFile(tmp_path / "old"), Wanted(old, 3))
    write = os.pwrite

    def full(descriptor: int, chunk: bytes, position: int) -> int:
        if any(cache.files.iterdir()) or not has_space:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, chunk, position)

    has_space = True
    monkeypatch.setattr("headgate.downloads.cache.os.pwrite", full)
    assert fetched(cache, source(f"{server}/rows.csv")) == CONTENT
    assert [path.name for path in cache.files.iterdir()] == [SHA256]
    (cache.files / SHA256).unlink()
    has_space = False
    assert refusal(cache, source(f"{server}/rows.csv")).startswith("the disk of the trainer's cache ")


def test_a_bucket_gets_a_request_that_is_signed_with_the_key_of_the_operators_file(
    cache: Cache, tmp_path: Path
) -> None:
    bucket = Files({"/data/may/rows of fraud+.csv": CONTENT}, check=signed_by("KEY", "se/cret", "eu-central-1"))
    secrets = tmp_path / "credentials"
    secrets.write_text("s3://KEY:se%2Fcret@data\n")
    with serving(bucket) as url:
        places = f"s3://data?endpoint={url}&region=eu-central-1"
        assert fetched(cache, source("s3://data/may/rows%20of%20fraud+.csv", places, str(secrets))) == CONTENT
        secrets.write_text("s3://KEY:other@data\n")
        denied = refusal(cache, source("s3://data/may/none.csv", places, str(secrets)), Wanted("0" * 64, MIB))
        assert denied.startswith("s3://data/may/none.csv: access is denied (403 Forbidden, SignatureDoesNotMatch)")
        assert "Signature=" not in denied


def test_an_anonymous_bucket_gets_no_signature(cache: Cache) -> None:
    bucket = Files({"/open/rows.csv": CONTENT}, check=lambda request: "?" not in request.path)
    with serving(bucket) as url:
        places = f"s3://open?endpoint={url}&anonymous=true"
        assert fetched(cache, source("s3://open/rows.csv", places)) == CONTENT
        bucket.redirects["/open/moved.csv"] = "http://localhost:1/rows.csv"
        moved = refusal(cache, source("s3://open/moved.csv", places), Wanted("0" * 64, MIB))
        assert "redirects to another place: http://localhost:1 is" in moved


def test_a_container_of_azure_gets_a_shared_access_signature(cache: Cache, tmp_path: Path) -> None:
    asked: list[str] = []
    container = Files({"/models/rows.csv": CONTENT}, check=lambda request: bool(asked.append(request.path)) or True)
    secrets = tmp_path / "credentials"
    secrets.write_text("az://account:a2V5a2V5@models\n")
    with serving(container) as url:
        assert fetched(cache, source("az://models/rows.csv", f"az://models?endpoint={url}", str(secrets))) == CONTENT
    assert "sig=" in asked[0]
    assert "sp=r&" in asked[0]


def test_without_credentials_a_bucket_is_refused_in_words(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json")
    found = refusal(cache, source("gs://data/rows.csv", "gs://data"))
    assert found.startswith("no credentials for gs://data can be used: ")
    assert "HEADGATE_GIT_CREDENTIALS" in found
