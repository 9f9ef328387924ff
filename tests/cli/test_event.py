"""`headgate event` appends a CloudEvent that another program wrote to the embedded log."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from headgate.cli import main as command_line
from headgate.cli.session import default_log
from headgate.log import topics
from headgate.log.envelope import decode
from headgate.log.open import open_log
from headgate.log.port import PARTITIONS, Record

EVENT = {
    "specversion": "1.0",
    "id": "42",
    "source": "my-ci",
    "type": "dev.cdevents.change.merged",
    "data": {"customData": {"model": "fraud", "repository": "/somewhere", "commit": "a" * 40}},
}

DATA = {**EVENT, "type": "headgate.data.updated.v1"}


@pytest.fixture
def log_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".headgate").mkdir()
    url = default_log(tmp_path / ".headgate")
    log = open_log(url)
    log.create_topics(topics.TOPICS)
    log.close()
    return url


@pytest.fixture
def run(log_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def command(*arguments: str) -> int:
        monkeypatch.setattr("sys.argv", ["headgate", "--log", log_url, *arguments])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        return int(ended.value.code or 0)

    return command


def on_the_inbox(url: str) -> list[Record]:
    log = open_log(url)
    try:
        return [record for partition in range(PARTITIONS) for record in log.read(topics.INBOX, partition, 0)]
    finally:
        log.close()


def test_an_event_from_a_file_is_appended_to_the_inbox_unchanged(
    run: Callable[..., int], log_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = json.dumps(EVENT, indent=1)
    Path("merged.json").write_text(text)
    assert run("event", "merged.json") == 0
    assert capsys.readouterr().out == "42\n"
    (record,) = on_the_inbox(log_url)
    assert (record.key, record.value) == (b"my-ci", text.encode())
    assert decode(record).id == "42"


def test_an_event_from_standard_input_gets_the_key_from_its_partition_key(
    run: Callable[..., int], log_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps({**EVENT, "partitionkey": "fraud"}).encode()
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(text)))
    assert run("event", "-") == 0
    assert [record.key for record in on_the_inbox(log_url)] == [b"fraud"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "malformed-event: the value is not JSON"),
        (
            '{"id": "\udcff"}',
            "malformed-event: the value is not JSON: expected text in UTF-8, got the byte 0xff in line 1",
        ),
        ("\udcff\udcfe", "the value is not JSON: expected text in UTF-8, got the byte 0xff in line 1"),
        ("", "malformed-event: the value is not JSON: it is empty"),
        (json.dumps({**EVENT, "data": {"customData": {"model": 5}}}), "data.customData.model: expected text"),
        (
            json.dumps({**EVENT, "data": {"subject": {"content": {"repository": {"url": 5}}}}}),
            "data.subject.content.repository.url: expected text",
        ),
        (json.dumps({**EVENT, "data": None}), "data: expected a JSON object, got null"),
        (json.dumps({key: EVENT[key] for key in EVENT if key != "data"}), "data is missing: expected a JSON object"),
        (json.dumps({**EVENT, "data": "x" * 300_000}), "data has 300002 bytes: expected at most 262144"),
        (json.dumps({**EVENT, "type": "com.example.push"}), "type: expected dev.cdevents.change.merged or headgate."),
        (
            json.dumps({**EVENT, "partitionkey": "Fraud!", "data": {}}),
            "partitionkey is 'Fraud!': the name of a model",
        ),
        (json.dumps({**EVENT, "data": {"customData": {"commit": "a" * 40}}}), "repository is empty: a version needs"),
        (json.dumps(EVENT).replace("a" * 40, "a" * 7), "commit is 'aaaaaaa': a commit is a full hash of 40 or 64"),
        (json.dumps(EVENT)[:-1] + ', "id": "43"}', "the key 'id' stands twice in one object"),
        (json.dumps(EVENT).replace('"model"', '"commit"'), "the value is not JSON: the key 'commit' stands twice"),
        (json.dumps(DATA | {"data": {"uri": "a", "sha256": "A" * 64}}), "data.sha256: a SHA-256 has 64 hex digits in"),
        (json.dumps(DATA | {"data": {"uri": 5, "sha256": "a" * 64}}), "data.uri: expected text, got a number"),
        (json.dumps(DATA | {"data": {"uri": "a"}}), "data.sha256 is missing; give the SHA-256"),
        (json.dumps({**EVENT, "specversion": "0.3"}), "specversion '0.3': only 1.0 is supported"),
        (json.dumps({**EVENT, "id": ""}), "id: this attribute is required and must not be empty"),
    ],
)
def test_a_text_that_is_not_an_event_is_refused_and_not_appended(
    run: Callable[..., int], log_url: str, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    Path("merged.json").write_bytes(text.encode(errors="surrogateescape"))
    assert run("event", "merged.json") == 2
    assert message in capsys.readouterr().err
    assert on_the_inbox(log_url) == []


def test_an_event_that_is_larger_than_a_record_is_not_appended(
    run: Callable[..., int], log_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("merged.json").write_text(json.dumps({**EVENT, "extra": "x" * 1_000_000}))
    assert run("event", "merged.json") == 2
    assert "at most 1000000 are allowed" in capsys.readouterr().err
    assert on_the_inbox(log_url) == []


@pytest.mark.parametrize("slash", ["/", r"\/"])
def test_an_event_whose_repository_has_a_password_is_refused_and_not_appended(
    run: Callable[..., int], log_url: str, capsys: pytest.CaptureFixture[str], slash: str
) -> None:
    data = {"customData": {"repository": "https://reader:t0ken@git.example.com/fraud"}}
    Path("merged.json").write_text(json.dumps({**EVENT, "data": data}).replace("/", slash))
    assert run("event", "merged.json") == 2
    error = capsys.readouterr().err
    assert "HEADGATE_GIT_CREDENTIALS" in error
    assert "t0ken" not in error
    assert on_the_inbox(log_url) == []


CHANGE = {"model": "fraud", "commit": "a" * 40}


@pytest.mark.parametrize(
    "data",
    [
        {"customData": CHANGE | {"repository": "user:s3cret@git.example.com:fraud.git"}},
        {"customData": CHANGE | {"repository": "https:/user:s3cret@git.example.com/fraud"}},
        {"customData": CHANGE | {"repository": "https://git.example.com/fraud?access_token=s3cret"}},
        {"customData": CHANGE | {"repository": "https://git.example.com/fraud#s3cret"}},
        {"customData": CHANGE | {"repository": "ext::sh -c s3cret"}},
        {"customData": CHANGE | {"repository": "--upload-pack=s3cret"}},
        {"customData": CHANGE | {"repository": "/srv/s3cret\u001b[2J"}},
        {"customData": CHANGE, "subject": {"content": {"repository": {"url": "ext::sh -c s3cret"}}}},
        {"customData": CHANGE | {"repository": "/srv/fraud", "message": "from user:s3cret@git.example.com:fraud.git"}},
        {"customData": CHANGE | {"repository": "/srv/fraud", "https://s3cret@git.example.com": ""}},
        "see https://user:s3cret@git.example.com",
    ],
)
def test_an_event_whose_address_no_version_may_have_is_refused_and_not_appended(
    run: Callable[..., int], log_url: str, capsys: pytest.CaptureFixture[str], data: object
) -> None:
    Path("merged.json").write_text(json.dumps({**EVENT, "data": data}))
    assert run("event", "send", "merged.json") == 2
    shown = capsys.readouterr()
    assert shown.err
    assert "s3cret" not in shown.out + shown.err
    assert on_the_inbox(log_url) == []


def test_an_address_that_a_second_one_of_the_same_name_hides_is_refused_too(
    run: Callable[..., int], log_url: str
) -> None:
    hidden = '{"repository": "https://user:s3cret@git.example.com", "repository": "/srv/fraud"}'
    Path("merged.json").write_text(json.dumps({**EVENT, "data": {"customData": {}}}).replace("{}", hidden))
    assert run("event", "send", "merged.json") == 2
    assert on_the_inbox(log_url) == []


@pytest.mark.parametrize(
    "uri",
    [
        "https://data.example.com/rows.csv?s3cret",
        "s3://key:s3cret@bucket/rows.csv",
        "ftp://s3cret/rows.csv",
        "a\u001b[2J",
    ],
)
def test_an_event_about_data_whose_address_no_record_may_have_is_refused_and_not_appended(
    run: Callable[..., int], log_url: str, capsys: pytest.CaptureFixture[str], uri: str
) -> None:
    about = {"type": "headgate.data.updated.v1", "data": {"uri": uri, "sha256": "0" * 64}}
    Path("updated.json").write_text(json.dumps(EVENT | about))
    assert run("event", "send", "updated.json") == 2
    shown = capsys.readouterr().err
    assert "data.uri: expected" in shown
    assert "s3cret" not in shown
    assert on_the_inbox(log_url) == []
