"""Every command of `headgate release`, on a real registry and deployer."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import grpc
import pytest

from headgate.cli.known_environments import is_known
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import resources_pb2 as resources
from tests.cli.running import Headgate, run_headgate
from tests.deployer.world import World, phase_is


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """Version 1 is live, and version 2 is at the first step of a long canary. The parameter: is a policy set?"""
    world = World(tmp_path)
    world.start()
    if getattr(request, "param", True):
        world.issue("policy", "environments/production", set_policy=commands.SetPolicy())
    world.begin_canary()
    yield world
    world.stop()


@pytest.fixture
def headgate(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Headgate:
    """Runs `headgate ARGUMENTS` and returns its exit code, its data (stdout) and its progress (stderr)."""

    where = ("--registry", f"127.0.0.1:{world.registry_port}", "--log", world.url)
    return partial(run_headgate, monkeypatch, capsys, *where)


def test_a_release_is_paused_resumed_promoted_and_undone_by_hand(world: World, headgate: Headgate) -> None:
    code, out, _ = headgate("release", "pause", "fraud/2", "--reason", "lunch")
    assert code == 0
    assert "paused: lunch" in out
    listed = headgate("release", "list", "fraud")[1]
    assert "paused" in listed
    assert "lunch" not in listed
    assert headgate("release", "pause", "fraud/2")[0] == 0
    assert "paused" not in headgate("release", "resume", "fraud/2")[1]
    code, _, err = headgate("release", "promote", "fraud/2")
    assert (code, "Missing option '--reason'" in err) == (2, True)
    code, _, err = headgate("release", "promote", "fraud/2", "--reason", " ")
    assert code == 2
    assert "expected the reason for a promotion before the judge's verdict" in err
    assert headgate("release", "promote", "fraud/2", "--reason", "known good")[0] == 0
    world.wait_for(phase_is(2, resources.PHASE_BAKING))
    code, out, _ = headgate("release", "abort", "fraud/2", "--reason", "second thoughts", "-o", "json")
    assert (code, json.loads(out)["phase"]) == (0, "PHASE_ROLLING_BACK")
    code, out, _ = headgate("release", "watch", "fraud/2")
    assert code == 1
    assert "rolled back" in out


def test_a_release_is_started_and_undone_by_hand(world: World, headgate: Headgate, tmp_path: Path) -> None:
    headgate("release", "abort", "fraud/2")
    world.wait_for(phase_is(2, resources.PHASE_ROLLED_BACK))
    policy = tmp_path / "policy.toml"
    policy.write_text("bake_seconds = 0.001")
    assert headgate("environment", "set-policy", "production", str(policy))[0] == 0
    assert headgate("alias", "set", "fraud@next", "2")[0] == 0
    policy.write_text("bake_seconds = 0.002")
    own = ("--strategy", "blue-green", "--reason", "by hand", "--policy", str(policy), "-o", "json")
    code, out, _ = headgate("release", "start", "fraud@next", *own)
    started = json.loads(out)
    assert (code, started["candidate"], started["policy"]["bake_ms"]) == (0, 2, "2")
    assert started["strategy"] == "STRATEGY_BLUE_GREEN"
    code, out, _ = headgate("release", "watch", "fraud/3", "-o", "json")
    states = [json.loads(line) for line in out.splitlines()]
    assert (code, states[-1]["phase"]) == (0, "PHASE_COMPLETED")
    assert json.loads(headgate("release", "get", "fraud/3", "-o", "json")[1])["reason"] == "by hand"
    assert headgate("release", "undo", "fraud/3", "--reason", "live version fails")[0] == 0
    assert "live version fails" in headgate("release", "get", "fraud/4")[1]
    assert headgate("release", "watch", "fraud/4")[0] == 0
    assert "production v1" in headgate("model", "get", "fraud")[1]


def test_a_live_version_in_quarantine_says_what_takes_it_out_and_an_undo_to_one_goes_with_a_warning(
    world: World, headgate: Headgate, tmp_path: Path
) -> None:
    only_version = headgate("version", "quarantine", "fraud/1", "--reason", "biased")[2]
    assert "v1 stays live in production" in only_version
    assert "`headgate release start fraud/NUMBER -e production` with another version" in only_version
    assert "undo" not in only_version
    assert "production v1 (quarantined)" in headgate("model", "get", "fraud")[1]
    assert "production v1 (quarantined)" in headgate("model", "list")[1]
    assert json.loads(headgate("model", "get", "fraud", "-o", "json")[1])["live_quarantined"] == {"production": 1}
    labelled = headgate("model", "label", "fraud", "team", "risk", "-o", "json")[1]
    assert json.loads(labelled)["live_quarantined"] == {"production": 1}
    assert "v1, which serves again, is quarantined" in headgate("release", "abort", "fraud/2")[2]
    world.wait_for(phase_is(2, resources.PHASE_ROLLED_BACK))
    policy = tmp_path / "policy.toml"
    policy.write_text("bake_seconds = 0.001")
    headgate("release", "start", "fraud/2", "--strategy", "blue-green", "--policy", str(policy))
    world.wait_for(phase_is(3, resources.PHASE_COMPLETED))
    assert "To take it out: `headgate release undo fraud/3` or" in headgate("version", "quarantine", "fraud/2")[2]
    code, _, err = headgate("release", "undo", "fraud/3")
    assert (code, "v1, which serves again, is quarantined" in err) == (0, True)
    world.wait_for(phase_is(4, resources.PHASE_COMPLETED))
    assert headgate("version", "lift-quarantine", "fraud/1")[0] == 0
    assert "quarantined" not in headgate("model", "get", "fraud")[1]
    assert headgate("version", "quarantine", "fraud/2")[2] == ""


def test_a_release_of_something_that_is_no_version_is_wrong_usage(headgate: Headgate) -> None:
    for version in ("models/fraud", "models/fraud/releases/2", "fraud"):
        code, _, err = headgate("release", "start", version)
        assert (code, "expected MODEL/NUMBER" in err) == (2, True)


def test_a_release_into_an_unknown_environment_asks_whether_the_name_is_right(headgate: Headgate) -> None:
    code, _, err = headgate("release", "start", "fraud/1", "-e", "prodction")
    assert code == 0
    assert "nothing has gone live in prodction yet" in err
    assert "HEADGATE_ENVIRONMENT=prodction" in err


def test_a_release_into_an_environment_with_a_policy_asks_nothing(headgate: Headgate, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("")
    headgate("environment", "set-policy", "staging", str(tmp_path / "policy.toml"))
    code, _, err = headgate("release", "start", "fraud/1", "-e", "staging")
    assert (code, err) == (0, "")


def test_no_command_fails_when_the_environment_cannot_be_checked() -> None:
    class Unavailable:
        def ListReleases(self, *_: object, **__: object) -> None:
            raise grpc.RpcError("UNAVAILABLE")

    assert is_known(Unavailable(), "prodction")


@pytest.mark.parametrize("world", [False], indirect=True, ids=["no policy"])
def test_a_release_into_an_environment_where_something_went_live_asks_nothing(world: World, headgate: Headgate) -> None:
    headgate("release", "abort", "fraud/2")
    world.wait_for(phase_is(2, resources.PHASE_ROLLED_BACK))
    code, _, err = headgate("release", "start", "fraud/2", "--override-quarantine")
    assert (code, err) == (0, "")


REFUSED = (
    (("start", "fraud/9"), 3, "version 9 of fraud does not exist"),
    (("start", "fraud/1"), 1, "version 1 of fraud is live in production: a live version needs no release"),
    (("start", "fraud/2"), 1, "is already in release 2 of fraud: a version has one release at a time"),
    (("undo", "fraud/1"), 1, "had no stable version: an undo needs a version to go back to"),
    (("undo", "fraud/2"), 1, "is stepping, so it cannot be undone: abort a release that has not completed"),
    (("abort", "fraud/1"), 1, "is completed: undo a release that has completed"),
    (("promote", "fraud/1", "--reason", "go"), 1, "is completed: v1 has all traffic already"),
    (("resume", "fraud/2", "--reason", "go"), 1, "is not paused: only a paused release can be resumed"),
    (("pause", "fraud/1"), 1, "is completed: a release that has ended cannot change"),
    (("watch", "fraud/9"), 3, "release 9 of fraud does not exist"),
    (("abort", "fraud"), 2, "expected MODEL/NUMBER"),
)


def test_a_refused_command_names_the_state_and_the_rule(headgate: Headgate) -> None:
    for arguments, code, message in REFUSED:
        found, out, err = headgate("release", *arguments)
        assert (found, out) == (code, ""), arguments
        assert message in err


def test_an_environment_without_a_policy_shows_the_default_policy(world: World, headgate: Headgate) -> None:
    code, out, err = headgate("environment", "get", "staging", "-o", "json")
    assert (code, "no policy was set for environment staging" in err) == (0, True)
    assert [step["weight_bps"] for step in json.loads(out)["policy"]["steps"]] == [500, 2500, 5000]
    assert "no policy" not in headgate("environment", "get", "production")[2]
