"""`headgate log dead-letters` and `headgate log refusals`, as an operator uses them."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headgate.cli import main as command_line
from headgate.cli.dead_letter_page import hex_lines
from headgate.cli.dead_letters import parse_id
from headgate.dead_letters import settling
from headgate.dead_letters.burials import Burials
from headgate.dead_letters.letters import Ledger
from headgate.dead_letters.settling import drop
from headgate.log import topics
from headgate.log.open import open_log
from headgate.log.port import EventLog, Message
from headgate.log.scan import scan_all
from headgate.v1 import commands_pb2 as commands

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EventLog]:
    url = f"sqlite://{tmp_path}/log.db"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HEADGATE_LOG", url)
    log = open_log(url)
    log.create_topics(topics.TOPICS)
    yield log
    log.close()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*arguments: str, group: str = "dead-letters") -> tuple[int, str]:
        monkeypatch.setattr("sys.argv", ["headgate", "log", *([group] if group else []), *arguments])
        try:
            command_line.main()
        except SystemExit as ended:
            return int(ended.code or 0), capsys.readouterr().out
        return 0, capsys.readouterr().out

    return call


def bury(log: EventLog, value: bytes, topic: str = topics.INBOX, code: str = "malformed-event") -> str:
    position = log.append(Message(topic, b"fraud", value, (("ce_id", b"1\xff"),)))
    (record,) = log.read(topic, position.partition, position.offset, 1)
    Burials(log, "registry-0").bury(record, code, "why not")
    return [f"{record.partition}:{record.offset}" for record in scan_all(log, topics.DEAD_LETTERS)][-1]


def test_letters_are_listed_shown_replayed_and_dropped(log: EventLog, run: Run) -> None:
    first, second = bury(log, b"hello"), bury(log, b"\xff\xfe", code="bad-data")
    listed = json.loads(run("list", "-o", "json")[1])
    assert [(row["id"], row["topic"], row["code"], row["bytes"]) for row in listed] == [
        (first, topics.INBOX, "malformed-event", 5),
        (second, topics.INBOX, "bad-data", 2),
    ]
    assert [row["id"] for row in json.loads(run("list", "--code", "bad-data", "-o", "json")[1])] == [second]
    assert "replayed to headgate.inbox" in run("replay", first, "--reason", "fixed", "--actor", "bob")[1]
    assert "was replayed by bob: fixed" in run("replay", first)[1]
    assert run("drop", second, "--reason", "noise", "--actor", "ann")[0] == 0
    assert json.loads(run("list", "-o", "json")[1]) == []
    states = {row["id"]: row["state"] for row in json.loads(run("list", "--settled", "-o", "json")[1])}
    assert states == {first: "replayed", second: "dropped"}
    assert [record.value for record in scan_all(log, topics.INBOX)] == [b"hello", b"\xff\xfe", b"hello"]
    assert "dropped by ann" in run("list", "--settled")[1]
    assert "dropped by ann" in run("tail", "--topic", "dead-letters", group="")[1]


@pytest.mark.parametrize("option", ["--reason", "--actor"])
@pytest.mark.parametrize("verb", ["replay", "drop"])
def test_credentials_in_a_reason_or_an_actor_are_refused_and_never_recorded(
    log: EventLog, run: Run, verb: str, option: str
) -> None:
    letter = bury(log, b"hello")
    reasons = {"--reason": "x", "--actor": "ann"} | {option: "see https://reader:t0ken@git.example.com"}
    assert run(verb, letter, *(part for pair in reasons.items() for part in pair)) == (2, "")
    settle = settling.drop if verb == "drop" else settling.replay
    settle(Ledger(log), parse_id(letter), reasons["--actor"], reasons["--reason"])
    assert b"t0ken" not in b"".join(record.value or b"" for record in scan_all(log, topics.DEAD_LETTERS))


def test_a_letter_is_shown_as_text_as_a_hex_dump_and_raw(log: EventLog, run: Run) -> None:
    letter = bury(log, b"\x00\x1b[2Jhello world, this is no event")
    page = json.loads(run("show", letter, "-o", "json")[1])
    assert (page["value"], page["value_base64"][:4], page["key"]) == (None, "ABtb", "fraud")
    shown = run("show", letter)[1]
    assert "00000000  00 1b 5b 32 4a 68" in shown
    assert "header ce_id: 31 ff" in shown
    assert "\x1b" not in shown
    assert run("show", letter, "--raw")[1] == "\x00\x1b[2Jhello world, this is no event"
    assert list(hex_lines(b"")) == []


def test_a_dry_run_prints_what_would_be_done_and_does_nothing(log: EventLog, run: Run) -> None:
    letter = bury(log, b"hello")
    assert run("replay", "--code", "bad-data", "--dry-run") == (0, "")
    code, printed = run("replay", "--all", "--dry-run", "-o", "json")
    assert (code, json.loads(printed)[0]["outcome"]) == (0, "would be replayed to headgate.inbox")
    assert run("drop", letter, "--reason", "x", "--dry-run")[0] == 0
    assert len(list(scan_all(log, topics.INBOX))) == 1
    assert len(json.loads(run("list", "-o", "json")[1])) == 1


def test_a_lifecycle_record_is_refused_and_the_others_are_replayed(log: EventLog, run: Run) -> None:
    bury(log, b"x", topics.LIFECYCLE, "not-a-fact")
    bury(log, b"hello")
    code, printed = run("replay", "--all", "--yes", "-o", "json")
    assert code == 1
    assert [outcome["done"] for outcome in json.loads(printed)] == [False, True]
    assert "only the registry writes" in printed


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["replay"], 2),
        (["replay", "--all"], 2),
        (["replay", "fraud"], 2),
        (["replay", "0:0", "--all"], 2),
        (["drop", "0:0"], 2),
        (["drop", "0:0", "--reason", " "], 2),
        (["list", "--since", "soon"], 2),
        (["show", "0:99"], 3),
        (["replay", "0:99"], 3),
        (["drop", "77:0", "--reason", "x"], 3),
    ],
)
def test_wrong_arguments_give_their_exit_code(log: EventLog, run: Run, arguments: list[str], code: int) -> None:
    bury(log, b"hello")
    assert run(*arguments)[0] == code
    assert len(list(scan_all(log, topics.DEAD_LETTERS))) == 1


def test_letters_are_listed_by_age_and_topic(log: EventLog, run: Run) -> None:
    bury(log, b"hello")
    bury(log, b"x", topics.COMMANDS)
    assert len(json.loads(run("list", "--since", "1h", "--topic", "commands", "-o", "json")[1])) == 1
    assert json.loads(run("list", "--topic", "labels", "-o", "json")[1]) == []


def test_refusals_are_listed_together_with_records_that_are_not_refusals(log: EventLog, run: Run) -> None:
    refusal = commands.Refusal(
        stream="models/fraud",
        code="illegal-transition",
        message="no",
        rule="an ended release cannot change",
        actor="ann",
        refused_at_ms=1,
    )
    refusal.command.create_model.description = "x"
    for value in (refusal.SerializeToString(), b"\xff", None):
        log.append(Message(topics.REFUSALS, b"models/fraud", value))
    table = run("refusals", group="")[1].splitlines()
    assert table[0].endswith("FIELD  ID  REASON")
    assert table[1].endswith("  no: an ended release cannot change")
    rows = json.loads(run("refusals", "-o", "json", group="")[1])
    assert [row["code"] for row in rows] == ["illegal-transition", "not-a-refusal", "not-a-refusal"]
    assert rows[0]["command"] == "create_model"
    assert len(json.loads(run("refusals", "-n", "20", "--stream", "models/fraud", "-o", "json", group="")[1])) == 1


@pytest.mark.parametrize("topic", [topic.name.removeprefix("headgate.") for topic in topics.TOPICS])
@pytest.mark.parametrize("output", ["table", "json"])
def test_a_tail_prints_any_record_of_a_topic(log: EventLog, run: Run, topic: str, output: str) -> None:
    values = (b"\xff\xff", None, b"", commands.Command(command_id="1").SerializeToString())
    for value in values:
        log.append(Message(f"headgate.{topic}", b"\xff", value, (("ce_id", b"\xff"),)))
    code, printed = run("tail", "--topic", topic, "-o", output, group="")
    assert (code, len(printed.splitlines())) == (0, len(values))


def test_the_doctor_reports_open_letters(
    log: EventLog, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    letter = bury(log, b"hello")
    bury(log, b"hello")
    drop(Ledger(log), tuple(map(int, letter.split(":"))), "ann", "noise")  # type: ignore[arg-type]  # two of them
    monkeypatch.setattr("sys.argv", ["headgate", "--registry", "127.0.0.1:1", "--gateway", "127.0.0.1:1", "doctor"])
    with pytest.raises(SystemExit):
        command_line.main()
    assert "ok     dead letters: 1 open: headgate log dead-letters list" in capsys.readouterr().out


def test_a_rule_that_stands_in_the_message_is_listed_once(log: EventLog, run: Run) -> None:
    rule = "a freeze must end in the future"
    refusal = commands.Refusal(code="invalid-argument", message=f"until_ms is 1: {rule}", rule=rule)
    log.append(Message(topics.REFUSALS, b"models/fraud", refusal.SerializeToString()))
    assert run("refusals", group="")[1].count(rule) == 1
