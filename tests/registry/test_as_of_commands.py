"""The command line shows the past: --at on what reads, replay --at and explain."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.running import Headgate, Printed, run_headgate
from tests.histories.stories import STORIES
from tests.registry.conftest import Running
from tests.registry.test_as_of import Teller

CANARY = "canary_promoted"
READS = (
    ("model", "list"),
    ("model", "get", "fraud"),
    ("model", "history", "fraud"),
    ("version", "list", "fraud"),
    ("version", "get", "fraud/1"),
    ("alias", "list", "fraud"),
    ("release", "list", "fraud"),
    ("release", "get", "fraud/1"),
    ("environment", "list"),
    ("environment", "get", "production"),
    ("environment", "history", "production"),
    ("freeze", "list"),
    ("access", "list"),
    ("token", "list"),
    ("explain", "fraud"),
)


@pytest.fixture
def told(registry: Running) -> Running:
    STORIES[CANARY](Teller(registry, lambda _: None))
    return registry


@pytest.fixture
def headgate(
    told: Running, log_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Headgate]:
    """The command line of a user in New York."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()

    def call(*arguments: str) -> Printed:
        addresses = ("--registry", told.address, "--log", log_url)
        return run_headgate(monkeypatch, capsys, *(() if "--log" in arguments else addresses), *arguments)

    yield call
    monkeypatch.undo()
    time.tzset()


def facts_of(headgate: Headgate) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(headgate("model", "history", "fraud", "-o", "json")[1])
    return found


def test_a_time_without_a_zone_is_the_readers_own_and_the_output_says_which_moment_it_shows(headgate: Headgate):
    code, out, err = headgate("version", "get", "fraud/1", "--at", "2025-10-09T04:55:00", "-o", "json")
    assert (code, "as it was at 2025-10-09 04:55:00 UTC-0400 (2025-10-09 08:55:00 UTC)" in err) == (0, True)
    with_zone = headgate("version", "get", "fraud/1", "--at", "2025-10-09T10:55:00+02:00", "-o", "json")
    assert json.loads(with_zone[1]) == json.loads(out)


def test_what_shows_the_present_shows_the_past(headgate: Headgate):
    for arguments in READS:
        now = headgate(*arguments, "-o", "json")
        just_now = headgate(*arguments, "--at", "0s", "-o", "json")
        assert (just_now[0], json.loads(just_now[1])) == (0, json.loads(now[1])), arguments
        assert "as it was at 20" in just_now[2]
        at_first = headgate(*arguments, "--at", "1990-01-01", "-o", "json")
        assert at_first[0] in (0, 3), arguments
        assert at_first[1] in ("", "[]\n") or "environment" in arguments


def test_a_fact_is_a_moment_of_its_model(headgate: Headgate):
    moved = [fact["sequence"] for fact in facts_of(headgate) if "alias_moved" in str(fact["fact"])]
    first = headgate("alias", "list", "fraud", "--at", str(moved[0]), "-o", "json")
    assert json.loads(first[1]) == [{"alias": "champion", "version": "v1"}]
    assert f"as it was after fact {moved[0]}" in first[2]
    assert headgate("alias", "list", "fraud", "--at", str(int(str(moved[0])) - 1), "-o", "json")[1] == "[]\n"
    code, _, err = headgate("model", "list", "--at", "3")
    assert (code, "a sequence names a moment of one model or environment" in err) == (2, True)
    assert headgate("release", "get", "fraud/2", "--at", "3", "--watch")[0] == 2
    assert headgate("release", "list", "fraud", "--at", "3", "-o", "json")[1] == "[]\n"


def test_a_moment_that_is_none_ends_the_command_with_the_forms(headgate: Headgate):
    for text in ("yesterday", "2026-13-01", "99999999999999999999", "12y", "-1", "2999-01-01"):
        code, out, err = headgate("model", "list", f"--at={text}")
        assert (code, out) == (2, ""), text
        assert "expected a time" in err


def test_a_replay_shows_what_was_live_and_equals_the_registrys_past(headgate: Headgate, tmp_path: Path):
    assert headgate("replay")[0] == 0
    times = [int(str(fact["fact"]["occurred_at_ms"])) for fact in facts_of(headgate) if isinstance(fact["fact"], dict)]  # type: ignore[index]
    assert headgate("log", "export", "facts.jsonl")[0] == 0
    whole = headgate("--log", "file:facts.jsonl", "replay")
    assert (whole[0], "compared with no registry" in whole[2]) == (0, True)
    live = []
    for at_ms in times[:: len(times) // 6]:
        at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at_ms / 1000))}Z"
        code, out, err = headgate("replay", "--at", at, "-o", "json")
        assert (code, "equals the registry's state" in err) == (0, True)
        assert headgate("--log", "file:facts.jsonl", "replay", "--at", at, "-o", "json")[1] == out
        live.append(json.loads(out)["models"][0].get("live", {}).get("production", 0))
    assert live == sorted(live)
    assert {0, 1, 2} >= set(live) > {0}
    shown = headgate("replay", "--at", "1d")
    assert (shown[0], "v2 in production" in shown[1]) == (0, True)
    assert "no model then" in headgate("replay", "--at", "1990-01-01")[2]
    assert headgate("replay", "--at", "2999-01-01")[0] == 2
    beyond = headgate("--log", "file:facts.jsonl", "replay", "--at", "2999-01-01")
    assert (beyond[0], "the exported log ends before, with a fact of 20" in beyond[2]) == (0, True)
    assert headgate("--log", "file:facts.jsonl", "replay", "--at", "0s")[1] == beyond[1]


def test_what_serves_is_explained_as_a_tree(headgate: Headgate):
    code, out, _ = headgate("explain", "fraud", "--environment", "production")
    shown = out.splitlines()
    assert (code, shown[0]) == (0, "fraud serves v2 in production")
    assert shown[1].startswith("└─ release 2 of fraud: canary of v2 into production is completed")
    assert any("COMPLETED" in line and "by ada@example.org]" in line for line in shown)
    assert any("commit " in line for line in shown)
    assert headgate("explain", "fraud@champion")[1].startswith("v2 of fraud is ")
    assert headgate("explain", "fraud/2")[1].startswith("v2 of fraud is ")
    assert headgate("explain", "fraud/1", "--release")[1].startswith("release 1 of fraud: direct of v1")
    assert headgate("explain", "models/fraud/releases/1")[1] == headgate("explain", "fraud/1", "--release")[1]
    assert headgate("explain", "fraud", "--at", "1")[1] == "fraud serves nowhere\n"
    assert headgate("explain", "fraud/9")[0] == 3
    assert headgate("explain", "fraud/1", "-e", "production")[0] == 2
