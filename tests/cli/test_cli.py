"""The command line as scripts use it."""

import importlib.metadata
import json
import re
import socket
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from headgate.cli import logs
from headgate.cli import main as command_line
from headgate.cli.logs import differences
from headgate.cli.main import app
from headgate.cli.policy_file import PolicyUnreadable, read_policy
from headgate.cli.session import (
    CommandFailed,
    default_log,
    release_name,
    running_log,
    running_metrics_ports,
    running_ports,
    version_name,
)
from headgate.cli.times import time_ms
from headgate.domain.credentials import without_credentials
from headgate.domain.names import event_command_id
from headgate.domain.printable import with_short_words
from headgate.log import topics
from headgate.log.envelope import decode
from headgate.log.open import open_log
from headgate.log.port import PARTITIONS, LogUnavailable, Message, Record
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import registry_service_pb2 as registry_service

CLOSED_ADDRESS = "127.0.0.1:1"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("HEADGATE_LOG", "HEADGATE_REGISTRY", "HEADGATE_GATEWAY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["headgate", *arguments])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    return int(ended.value.code or 0)


@pytest.fixture
def repository(home: Path) -> Path:
    folder = home / "repository"
    folder.mkdir()
    (folder / "headgate.toml").write_text('[model]\nname = "fraud"\n')
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "First\n\nWith a body"]):
        subprocess.run([*git, *arguments], check=True)
    return folder


@pytest.fixture
def embedded(home: Path) -> str:
    (home / ".headgate").mkdir()
    url = default_log(home / ".headgate")
    log = open_log(url)
    log.create_topics(topics.TOPICS)
    log.close()
    return url


def test_a_registry_that_cannot_be_reached_gives_exit_code_4(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "--registry", CLOSED_ADDRESS, "model", "list") == 4
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "no service answers: is Headgate running" in printed.err
    assert CLOSED_ADDRESS in printed.err


def test_an_error_about_a_late_answer_warns_that_the_request_may_still_take_effect(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("headgate.cli.models.TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        assert run(monkeypatch, "--registry", address, "model", "get", "fraud") == 4
    assert "no answer in time: the request may still take effect" in capsys.readouterr().err


def test_a_wrong_name_gives_exit_code_2(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "release", "get", "fraud") == 2


def test_the_program_prints_its_version() -> None:
    printed = CliRunner().invoke(app, ["--version"])
    assert (printed.exit_code, printed.output) == (0, f"headgate {importlib.metadata.version('headgate')}\n")


@pytest.mark.parametrize(
    "number", ["9" * 10, "9" * 5_000, "\u0663", "3.0", "-1", "01", ""], ids=lambda number: number[:12]
)
def test_a_version_number_that_cannot_exist_is_refused_before_the_call(
    number: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--registry", "127.0.0.1:1", "release", "start", f"fraud/{number}", "--environment", "production"]
    assert run(monkeypatch, *arguments) == 2
    shown = capsys.readouterr().err
    assert "expected MODEL/NUMBER" in shown
    assert len(shown) < 300


@pytest.mark.parametrize("length", [400, 401, 5_000])
def test_a_word_that_nobody_can_read_is_shown_without_its_middle(length: int) -> None:
    shown = with_short_words(f"the version {'9' * length} does not exist")
    whole = f"the version {'9' * length} does not exist"
    cut = f"the version {'9' * 60}...({length - 120:,} characters)...{'9' * 60} does not exist"
    assert shown == (whole if length <= 400 else cut)


def test_the_help_lists_the_exit_codes() -> None:
    assert "2 wrong input: an option" in " ".join(CliRunner().invoke(app, ["--help"]).output.split())


def test_publish_appends_a_change_merged_event_to_the_inbox(
    repository: Path, embedded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "publish", str(repository)) == 0
    out, err = capsys.readouterr()
    printed = out.strip()
    assert printed not in err  # a terminal shows both, and the id once
    assert err.endswith("give `headgate event status` the id of this event:\n")
    log = open_log(embedded)
    records = [record for partition in range(PARTITIONS) for record in log.read(topics.INBOX, partition, 0)]
    log.close()
    (record,) = records
    event = decode(record)
    body = json.loads(event.data or b"")
    assert (event.id, event.type, record.key) == (printed, "dev.cdevents.change.merged.0.3.0", b"fraud")
    assert body["customData"]["model"] == "fraud"
    assert body["customData"]["message"].startswith("First")
    assert body["subject"]["id"] == body["customData"]["commit"] == event.attributes["subject"]


def test_publishing_a_commit_again_sends_the_same_event_id(
    repository: Path, embedded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert run(monkeypatch, "publish", str(repository)) == 0
    first, second = capsys.readouterr().out.split()
    assert first == second


def test_a_commit_at_another_address_is_another_event(
    repository: Path, embedded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = []
    for arguments in ([], ["--url", "/wrong"], ["--url", "/right"], ["--url", "/right"]):
        assert run(monkeypatch, "publish", str(repository), *arguments) == 0
        ids.append(capsys.readouterr().out)
    assert len(set(ids)) == 3
    assert ids[2] == ids[3]


def test_publishing_an_event_that_was_refused_before_names_the_reason_and_the_way_to_send_a_new_one(
    repository: Path, embedded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "publish", str(repository)) == 0
    printed = capsys.readouterr()
    assert "--again" not in printed.err
    assert "give `headgate event status` the id" in printed.err
    id_ = event_command_id(repository.resolve().as_uri(), printed.out.strip())
    refusal = commands.Refusal(command_id=id_, code="invalid-argument", message="the repository is too long")
    log = open_log(embedded)
    log.append(Message(topics.REFUSALS, b"models/fraud", refusal.SerializeToString()))
    log.close()
    assert run(monkeypatch, "publish", str(repository)) == 0
    assert "was refused (the repository is too long): when that is mended, --again" in capsys.readouterr().err
    assert run(monkeypatch, "publish", str(repository), "--again") == 0
    assert "was refused" not in capsys.readouterr().err


@pytest.mark.parametrize("service", ["registry", "gateway", "trainer", "evaluator", "deployer"])
@pytest.mark.parametrize("address", ["127.0.0.1:99999", "127.0.0.1", "127.0.0.1:0"])
def test_an_address_without_a_port_that_exists_is_refused_before_any_call(
    service: str, address: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, f"--{service}", address, "model", "list") == 2
    assert f"--{service} '{address}': expected host:port with a port from 1 to 65535" in capsys.readouterr().err


def test_publishing_a_commit_that_is_a_version_again_sends_nothing(
    repository: Path, embedded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("headgate.cli.publish._version_of", lambda current, change: "fraud/1")
    assert run(monkeypatch, "publish", str(repository), "--again") == 2
    printed = capsys.readouterr()
    assert (printed.out, "already is version fraud/1" in printed.err) == ("", True)
    log = open_log(embedded)
    assert [record for partition in range(PARTITIONS) for record in log.read(topics.INBOX, partition, 0)] == []
    log.close()


def test_a_duration_with_too_many_digits_is_refused_for_its_size() -> None:
    with pytest.raises(CommandFailed, match="--until: the number of a duration has at most 6 digits, and this one has"):
        time_ms("--until", "99999999999h", lambda: 0)


def test_publish_warns_on_one_line_of_files_that_are_in_no_commit(
    repository: Path, embedded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / ".gitignore").write_text("ignored\n")
    git = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["add", "."], ["commit", "-q", "-m", "Ignore"]):
        subprocess.run([*git, *arguments], check=True)
    (repository / "ignored").write_text("")
    assert run(monkeypatch, "publish", str(repository)) == 0
    assert "not committed" not in capsys.readouterr().err
    for name in ("a\nnew\tfile é", "b", "c", "headgate.toml"):
        (repository / name).write_text('[model]\nname = "changed"\n')
    assert run(monkeypatch, "publish", str(repository)) == 0
    (warning,) = (line for line in capsys.readouterr().err.splitlines() if "not committed" in line)
    assert warning.startswith(f"warning: {repository} has changes that are not committed (")
    assert "'headgate.toml'" in warning
    assert "and 1 more): only what is in commit " in warning


@pytest.mark.parametrize("change", [["rm", "-q", "headgate.toml"], ["mv", "headgate.toml", "moved.toml"]])
def test_publish_warns_of_a_removed_file_and_still_publishes_the_commit(
    change: list[str],
    repository: Path,
    embedded: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    subprocess.run(["git", "-C", str(repository), *change], check=True)
    assert run(monkeypatch, "publish", str(repository)) == 0
    printed = capsys.readouterr()
    assert "has changes that are not committed ('headgate.toml'" in printed.err
    assert "published fraud at" in printed.err


def test_a_commit_is_published_also_when_git_cannot_compare_the_working_tree(
    repository: Path, embedded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / ".git" / "index").write_bytes(b"damaged")
    assert run(monkeypatch, "publish", str(repository)) == 0
    assert "it is not known whether" in capsys.readouterr().err


def test_a_bare_repository_has_nothing_to_commit_and_is_published(
    repository: Path, embedded: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subprocess.run(["git", "clone", "-q", "--bare", str(repository), str(home / "bare.git")], check=True)
    assert run(monkeypatch, "publish", "bare.git") == 0
    assert "not committed" not in capsys.readouterr().err


def test_a_commit_message_comes_to_the_terminal_without_control_characters(
    repository: Path, embedded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    git = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    message = "fix \x1b[2J\x1b[31m owned \x9b2J\x07"
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", message], check=True)
    assert run(monkeypatch, "publish", str(repository)) == 0
    shown = capsys.readouterr()
    assert "owned" in shown.err
    assert [char for char in shown.out + shown.err if not char.isprintable() and char != "\n"] == []


def test_a_commit_message_is_published_without_the_credentials_in_it(
    repository: Path, embedded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    git = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    message = "fetch https://reader:t0ken@data.example.com/rows.csv"
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", message], check=True)
    assert run(monkeypatch, "publish", str(repository)) == 0
    shown = " ".join(capsys.readouterr().err.split())
    assert "warning: the commit's message holds a password, a token or a user name in a URL: it is left out" in shown
    assert "t0ken" not in shown
    log = open_log(embedded)
    (record,) = (record for n in range(PARTITIONS) for record in log.read(topics.INBOX, n, 0))
    log.close()
    assert b"https://***@data.example.com/rows.csv" in (record.value or b"")
    assert b"t0ken" not in (record.value or b"")


def test_a_url_with_a_password_is_refused_before_anything_is_published(
    repository: Path, embedded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "publish", str(repository), "--url", "https://reader:t0ken@git.example.com/fraud") == 2
    error = capsys.readouterr().err
    assert "HEADGATE_GIT_CREDENTIALS" in error
    assert "t0ken" not in error
    log = open_log(embedded)
    assert set(log.end(topics.INBOX).values()) == {0}
    log.close()


@pytest.mark.parametrize(
    "url", ["../fraud", "fraud", "ftp://git.example.com/fraud", "C:/fraud", "ext::sh -c x", "--upload-pack=x", "//h/x"]
)
def test_a_url_that_the_trainer_cannot_fetch_is_refused_before_anything_is_published(
    repository: Path, embedded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], url: str
) -> None:
    assert run(monkeypatch, "publish", str(repository), "--url", url) == 2
    assert "--url: expected an absolute path as the trainer sees it, an https" in capsys.readouterr().err
    log = open_log(embedded)
    assert set(log.end(topics.INBOX).values()) == {0}
    log.close()


def test_the_error_names_a_missing_commit_and_a_commit_without_a_configuration(
    repository: Path, embedded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, "publish", str(repository), "--commit", "nope") == 3
    assert f"{repository} has no commit 'nope'" in capsys.readouterr().err
    git = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["rm", "-q", "headgate.toml"], ["commit", "-q", "-m", "Gone"]):
        subprocess.run([*git, *arguments], check=True)
    assert run(monkeypatch, "publish", str(repository)) == 3
    assert f"{repository} has no headgate.toml at its root" in capsys.readouterr().err


def test_a_folder_inside_another_repository_has_an_error_of_its_own(
    repository: Path, embedded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "inner").mkdir()
    assert run(monkeypatch, "publish", str(repository / "inner")) == 3
    assert "is the folder inner/ of another repository" in capsys.readouterr().err


def test_the_error_names_a_folder_that_is_not_a_repository(
    embedded: str, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "plain").mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(home))
    assert run(monkeypatch, "publish", "plain") == 3
    assert "plain is no Git repository: run `git init` there" in capsys.readouterr().err


def test_reading_a_log_that_does_not_exist_creates_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(monkeypatch, "log", "tail") == 4
    assert not (home / ".headgate").exists()


def test_log_tail_prints_one_json_object_per_record(
    repository: Path, embedded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run(monkeypatch, "publish", str(repository))
    capsys.readouterr()
    assert run(monkeypatch, "log", "tail", "--topic", "inbox", "-o", "json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["key"] == "fraud"


def test_log_tail_begins_with_the_newest_records_of_a_topic_or_of_one_key(
    embedded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = open_log(embedded)
    for topic in (topics.LIFECYCLE, topics.TELEMETRY):
        for key in (b"models/fraud", b"models/fraud", b"models/churn"):
            log.append(Message(topic, key, b""))
    log.close()

    def shown(*arguments: str) -> list[str]:
        assert run(monkeypatch, *arguments) == 0
        return capsys.readouterr().out.splitlines()

    assert len(shown("log", "tail", "-n", "1")) == 1
    assert [line.split()[2] for line in shown("log", "tail", "--key", "models/fraud", "-n", "20")] == [
        "models/fraud"
    ] * 2
    assert len(shown("log", "tail", "--topic", "telemetry", "-n", "2")) == 2
    lines = shown("log", "tail", "--topic", "lifecycle", "-n", "50", "-o", "json")
    assert {json.loads(line)["topic"] for line in lines} == {topics.LIFECYCLE}


def test_short_names_are_accepted() -> None:
    assert version_name("fraud/v3") == "models/fraud/versions/3"
    assert version_name("fraud@champion") == "models/fraud/aliases/champion"
    assert release_name("models/fraud/releases/2") == "models/fraud/releases/2"
    with pytest.raises(CommandFailed):
        release_name("fraud/x")


def test_a_policy_file_is_read_in_seconds_and_percent(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("bake_seconds = 4\n[judge]\nalpha = 0.01\n[[steps]]\nweight_percent = 12.5\nmin_seconds = 1.5\n")
    policy = read_policy(file)
    assert (policy.bake_ms, policy.judge.alpha) == (4000, 0.01)
    assert (policy.steps[0].weight_bps, policy.steps[0].min_duration_ms) == (1250, 1500)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("bake = 4", "bake: expected one of the keys bake_seconds, prepare_deadline_seconds"),
        ("bake_seconds = true", "bake_seconds: expected a number, got true"),
        ("bake_seconds = inf", "bake_seconds: expected a finite number, got inf"),
        ("bake_seconds = 1e308", "bake_seconds: expected a number from 0 to 1000000000 (0 is no bake), got 1e+308"),
        ("bake_seconds = 0.0001", "bake_seconds: expected a multiple of 0.001, got 0.0001"),
        ("paused_weight_percent = 101", "paused_weight_percent: expected a number from 0 to 100 (no pause raises"),
        ("no_data_limit_seconds = 0", "no_data_limit_seconds: expected a number from 0.001 to 1000000000"),
        ("steps = 3", "steps: expected tables, each under [[steps]], got 3"),
        (
            "[[steps]]\nweight_percent = 'x'\nmin_seconds = 1",
            "step 1: weight_percent: expected a number, got 'x'",
        ),
        ("[[steps]]\nweight_percent = 5", "step 1: min_seconds: expected a number, but it is missing"),
        ("[[steps]]\nmin_seconds = 5", "step 1: weight_percent: expected a number above 0 and below 100 (the weights"),
        ("steps = []", "steps: expected a table under [[steps]] for each step, or no steps for the default ones"),
        (
            "[[steps]]\nweight_percent = 5\nmin_seconds = 1\nmin_keys = 0",
            "step 1: min_keys: expected a number from 1 to 1000000000, or no min_keys for 1, got 0",
        ),
        (
            "[[steps]]\nweight_percent = 5\nmin_seconds = 1\nmin_keys = -1",
            "step 1: min_keys: expected a number from 1 to 1000000000, got -1",
        ),
        ("[judge]\nalpha = 0", "judge.alpha: expected a number above 0 and below 1, got 0"),
        ("[judge]\nfail_ratio = 2", "judge.pass_ratio: expected a number above 2 and below 1000000 (more than judge."),
        ("judge = 1", "judge: expected a table, got 1"),
        ("approvals = 2", "approvals: expected a table, got 2"),
        ("[approvals]", "approvals: expected a number of people for at least one of administrator, operator"),
        ("[approvals]\napprover = 21", "approvals.approver: expected a whole number from 1 to 20, got 21"),
        ("[approvals]\nviewer = 1", "approvals.viewer: expected one of the keys administrator, operator, publisher"),
        ("[approvals]\napprover = 1", "approvals are asked for by the environment alone"),
        ("[judge]\ngamma = 1", "judge.gamma: expected one of the keys alpha, beta"),
        (
            "[judge",
            "policy.toml: expected TOML, got Expected ']' at the end of a table declaration (at line 1, the end",
        ),
    ],
)
def test_a_policy_file_with_a_mistake_names_the_key(tmp_path: Path, text: str, problem: str) -> None:
    file = tmp_path / "policy.toml"
    file.write_text(text)
    with pytest.raises(PolicyUnreadable, match=re.escape(problem)):
        read_policy(file)


def test_one_error_lists_all_mistakes_of_a_policy_file(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    step = "[[steps]]\nweight_percent = {}\nmin_seconds = 1\n"
    file.write_text("bake = 4\n" + step.format(5) + step.format("'x'") + step.format(4) + "[judge]\nalpha = 2\n")
    with pytest.raises(PolicyUnreadable) as refused:
        read_policy(file)
    first, *problems = str(refused.value).splitlines()
    assert first == f"{file} is not a release policy:"
    assert [problem.strip().partition(": expected")[0] for problem in problems] == [
        "step 2: weight_percent",
        "bake",
        "step 3: weight_percent",
        "judge.alpha",
    ]


def test_a_duration_of_0_in_a_policy_file_is_0(tmp_path: Path) -> None:
    file = tmp_path / "policy.toml"
    file.write_text("bake_seconds = 0\nhold_deadline_seconds = 0\n")
    policy = read_policy(file)
    assert (policy.bake_ms, policy.HasField("bake_ms")) == (0, True)
    assert (policy.hold_deadline_ms, policy.HasField("hold_deadline_ms")) == (0, True)
    assert not policy.HasField("no_data_limit_ms")
    assert not policy.HasField("paused_weight_bps")
    file.write_text("paused_weight_percent = 0\n")
    assert read_policy(file).HasField("paused_weight_bps")


def test_replay_names_the_streams_that_differ() -> None:
    def digest(state: bytes, head: bytes = b"h") -> registry_service.FoldDigest:
        stream = registry_service.StreamDigest(stream="models/a", sequence=3, head_digest=head, state_digest=state)
        return registry_service.FoldDigest(streams=[stream])

    assert differences(digest(b"s"), digest(b"s")) == []
    assert differences(digest(b"s"), digest(b"t")) == ["models/a: the same facts up to 3, but another state"]
    assert differences(digest(b"s"), digest(b"s", b"x")) == ["models/a: the log ends at 3, the registry at 3"]
    assert differences(registry_service.FoldDigest(), digest(b"s")) == ["models/a: in the log, but not in the registry"]


def test_a_password_in_the_logs_address_is_not_shown() -> None:
    url = "kafka://k:9092?sasl_plain_username=u&sasl_plain_password=s3cret&ssl_password=x"
    assert without_credentials(url) == "kafka://k:9092?sasl_plain_username=u&sasl_plain_password=***&ssl_password=***"


def test_following_a_log_that_goes_away_waits_for_it_and_gives_up_after_the_limit(
    capsys: pytest.CaptureFixture[str],
) -> None:
    class UnavailableAtFirst:
        """A tail whose log does not answer some polls."""

        def __init__(self, failures: int) -> None:
            self.failures = failures

        def poll(self, timeout_seconds: float) -> list[Record]:
            if self.failures:
                self.failures -= 1
                raise LogUnavailable("no broker answers")
            return []

    assert logs.polled(UnavailableAtFirst(3), wait_seconds=20) == []
    assert capsys.readouterr().err.count("waiting for the log: no broker answers") == 3
    with pytest.raises(LogUnavailable):
        logs.polled(UnavailableAtFirst(3), wait_seconds=-1)


def test_publish_names_a_configuration_that_is_nested_too_deeply(
    repository: Path, embedded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (repository / "headgate.toml").write_text(f"a = {'[' * 5_000}")
    git = ["git", "-C", str(repository), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run([*git, "commit", "-q", "-a", "-m", "Deep"], check=True)
    assert run(monkeypatch, "publish", str(repository)) == 2
    assert "headgate.toml at " in capsys.readouterr().err


@pytest.mark.parametrize(
    "text",
    [
        *("[" * 100_000, "{", "[]", "3", '{"ports": 3}', '{"ports": "abc"}', '{"ports": ["a"]}', '{"ports": null}'),
        *('{"ports": {"registry": "7400"}}', '{"ports": {"registry": true}}', '{"ports": {"registry": 99999}}'),
        '{"log": 5, "metrics_ports": 3}',
    ],
)
def test_a_damaged_record_of_the_running_services_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "up.json").write_text(text)
    assert (running_ports(tmp_path), running_metrics_ports(tmp_path), running_log(tmp_path)) == ({}, {}, "")


def test_an_exported_log_is_printed_as_the_log_itself_and_no_file_is_replaced(
    home: Path, embedded: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = open_log(embedded)
    log.append(Message(topics.LIFECYCLE, b"models/fraud", b"first"))
    log.append(Message(topics.LIFECYCLE, b"models/fraud", b"second"))
    log.close()
    assert run(monkeypatch, "--log", embedded, "log", "tail") == 0
    printed = capsys.readouterr().out
    assert run(monkeypatch, "--log", embedded, "log", "export", "facts.jsonl") == 0
    assert "2 records of headgate.lifecycle in facts.jsonl" in capsys.readouterr().err
    assert (home / "facts.jsonl").stat().st_mode & 0o777 == 0o600
    assert run(monkeypatch, "--log", "file:facts.jsonl", "log", "tail") == 0
    assert capsys.readouterr().out == printed
    assert run(monkeypatch, "--log", "file:facts.jsonl", "log", "tail", "--topic", "inbox") != 0
    assert "has headgate.lifecycle alone" in capsys.readouterr().err
    assert run(monkeypatch, "--log", embedded, "log", "export", "facts.jsonl") == 2
    assert "facts.jsonl exists" in capsys.readouterr().err
    assert run(monkeypatch, "--log", embedded, "log", "export", "none/facts.jsonl") == 3
    assert sorted(path.name for path in home.iterdir()) == [".headgate", "facts.jsonl"]
