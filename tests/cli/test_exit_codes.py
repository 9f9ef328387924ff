"""The same cause ends every command with the same exit code, and the help and the docs show the one table of codes."""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest

from headgate.cli.exit_codes import MEANINGS, Exit, code_of_call, code_of_file, code_of_log, table
from headgate.cli.main import HELP
from headgate.client.errors import Failure
from headgate.log.port import (
    AddressFileMissing,
    AddressInvalid,
    LogError,
    LogRefused,
    LogUnavailable,
    RecordTooLarge,
    TopicMismatch,
)
from services.registry import app as registry
from services.registry.settings import Settings
from tests.cli.running import Headgate, run_headgate
from tests.house.tree import ROOT

NOWHERE = "127.0.0.1:1"
VERSION_VERBS = ("get", "watch", "approve", "deny", "lift-quarantine", "archive")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    running = registry.build(Settings(log=f"sqlite://{tmp_path_factory.mktemp('registry') / 'log.db'}", port=0))
    yield f"127.0.0.1:{running.start()}"
    running.stop(5)


@pytest.fixture
def headgate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Headgate:
    monkeypatch.chdir(tmp_path)
    others = (word for name in ("gateway", "trainer", "evaluator", "deployer") for word in (f"--{name}", NOWHERE))
    return partial(run_headgate, monkeypatch, capsys, *others)


def of_a_model(name: str) -> list[list[str]]:
    """The commands that name a model, a version, a release or an alias of it, and nothing else that could be wrong."""
    return [
        ["model", "get", name],
        ["model", "label", name, "team", "risk"],
        ["model", "history", name],
        ["version", "list", name],
        ["version", "tag", f"{name}/1", "reviewed", "ada"],
        ["version", "waive", f"{name}/1", "--reason", "why"],
        ["version", "quarantine", f"{name}/1", "--reason", "why"],
        ["version", "download", f"{name}/1", "copy"],
        *(["version", verb, f"{name}/1"] for verb in VERSION_VERBS),
        ["version", "cancel", f"{name}/1", "--reason", "why"],
        ["alias", "set", f"{name}@champion", "1"],
        ["release", "list", name],
        ["release", "get", f"{name}/1"],
        ["release", "start", f"{name}/1"],
        ["release", "pause", f"{name}/1"],
    ]


def words(command: list[str]) -> str:
    return " ".join(command)


@pytest.mark.parametrize("command", of_a_model("nobody"), ids=words)
def test_a_name_that_nothing_has_gives_3(headgate: Headgate, address: str, command: list[str]) -> None:
    code, _, err = headgate("--registry", address, *command)
    assert code == Exit.NOT_FOUND, err


def test_a_version_that_is_purged_gives_3_in_every_command_that_needs_its_artifact(
    headgate: Headgate, address: str
) -> None:
    ask = partial(headgate, "--registry", address)
    made = ("version", "create", "old", "--repository", "/some/where", "--commit", "a" * 40)
    for command in (made, ("version", "archive", "old/1"), ("version", "purge", "old/1", "--yes")):
        assert ask(*command)[0] == Exit.OK
    for command in (
        ("version", "waive", "old/1", "--reason", "why"),
        ("version", "approve", "old/1"),
        ("version", "deny", "old/1"),
        ("version", "download", "old/1", "copy"),
        ("alias", "set", "old@champion", "1"),
        ("release", "start", "old/1"),
    ):
        code, _, err = ask(*command)
        assert (code, "is purged" in err) == (Exit.NOT_FOUND, True), command


@pytest.mark.parametrize(
    "command",
    [
        *of_a_model("NO!"),
        ["model", "create", "NO!"],
        ["environment", "get", "NO!"],
        ["environment", "history", "NO!"],
        ["freeze", "lift", "NO!", "holiday"],
        ["release", "list", "NO!"],
        ["predict", "NO!", "--row", "1"],
        ["gateway", "model", "NO!"],
        ["predict", "fraud", "--version", "x", "--row", "1"],
        ["version", "get", "fraud/x"],
    ],
    ids=words,
)
def test_a_name_that_cannot_exist_gives_2(headgate: Headgate, address: str, command: list[str]) -> None:
    code, _, err = headgate("--registry", address, *command)
    assert code == Exit.USAGE, err


@pytest.mark.parametrize("kind", ["model", "version", "release"])
@pytest.mark.parametrize(("option", "value"), [("--filter", "colour = red"), ("--order", "colour")])
def test_a_wrong_filter_and_a_wrong_order_give_2(
    headgate: Headgate, address: str, kind: str, option: str, value: str
) -> None:
    parent = [] if kind == "model" else ["-"]
    code, _, err = headgate("--registry", address, kind, "list", *parent, option, value)
    assert code == Exit.USAGE, err


@pytest.mark.parametrize(
    "command",
    [
        *of_a_model("fraud"),
        ["version", "evaluate", "fraud/1"],
        ["version", "logs", "fraud/1"],
        ["predict", "fraud", "--row", "1"],
        ["gateway", "status"],
        ["environment", "list"],
        ["freeze", "lift", "production", "holiday"],
        ["log", "tail"],
        ["topics", "list"],
    ],
    ids=words,
)
def test_a_service_or_a_log_that_does_not_answer_gives_4(headgate: Headgate, command: list[str]) -> None:
    code, _, err = headgate("--registry", NOWHERE, *command)
    assert code == Exit.UNAVAILABLE, err


def test_another_service_at_the_address_gives_4_and_is_named_as_the_cause(headgate: Headgate, address: str) -> None:
    code, _, err = headgate("--evaluator", address, "--registry", address, "version", "evaluate", "fraud/1")
    assert code == Exit.UNAVAILABLE, err
    assert "another service or an older Headgate answers: is the address right?" in err


@pytest.mark.parametrize(
    ("failed", "code"),
    [
        (Failure(grpc.StatusCode.FAILED_PRECONDITION, "", "purged"), Exit.NOT_FOUND),
        (Failure(grpc.StatusCode.FAILED_PRECONDITION, "", "not-trained"), Exit.NOT_FOUND),
        (Failure(grpc.StatusCode.FAILED_PRECONDITION, "", "illegal-transition"), Exit.FAILED),
        (Failure(grpc.StatusCode.INVALID_ARGUMENT, "", "invalid-input"), Exit.USAGE),
        (Failure(grpc.StatusCode.DEADLINE_EXCEEDED, ""), Exit.UNAVAILABLE),
        (Failure(grpc.StatusCode.INTERNAL, ""), Exit.FAILED),
    ],
)
def test_a_failed_call_has_one_code_whichever_service_answered(failed: Failure, code: Exit) -> None:
    assert code_of_call(failed) is code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (AddressInvalid(""), Exit.USAGE),
        (AddressFileMissing(""), Exit.NOT_FOUND),
        (RecordTooLarge(""), Exit.USAGE),
        (LogUnavailable(""), Exit.UNAVAILABLE),
        (LogRefused(""), Exit.LOG_REFUSED),
        (TopicMismatch([]), Exit.TOPICS_DIFFER),
        (LogError(""), Exit.FAILED),
    ],
)
def test_an_error_of_the_log_has_one_code(error: LogError, code: Exit) -> None:
    assert code_of_log(error) is code


def test_a_file_that_does_not_exist_and_one_that_cannot_be_used_have_different_codes() -> None:
    assert (code_of_file(FileNotFoundError()), code_of_file(PermissionError())) == (Exit.NOT_FOUND, Exit.FAILED)


def test_the_help_and_the_first_steps_show_the_table_of_codes() -> None:
    assert set(MEANINGS) == set(Exit)
    assert table() in HELP
    rows = re.findall(r"^\| (\d) \| (.+) \|$", (ROOT / "docs" / "first-steps.md").read_text(), re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == {int(code): text for code, text in MEANINGS.items()}
