"""Every verb of `headgate release` on a real registry and deployer, as a person types it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from headgate.cli import main as command_line
from headgate.cli import releases
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import resources_pb2 as resources
from tests.deployer.world import World, phase_is

Said = tuple[int, str, str]
Say = Callable[..., Said]


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """Version 1 is live, version 2 at the first step of a canary that takes minutes. The parameter: with a policy?"""
    world = World(tmp_path)
    world.start()
    if getattr(request, "param", True):
        world.issue("policy", "environments/production", set_policy=commands.SetPolicy())
    world.pass_gate(1)
    world.wait_for(phase_is(1, resources.PHASE_COMPLETED))
    world.pass_gate(2)
    world.wait_for(lambda state: 2 in state.releases and state.releases[2].applied_at_ms > 0)
    yield world
    world.stop()


@pytest.fixture
def say(world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Say:
    """Runs `headgate ARGUMENTS`: its exit code, what is data, and what is said beside it."""

    def run(*arguments: str) -> Said:
        where = ["--registry", f"127.0.0.1:{world.registry_port}", "--log", world.url]
        monkeypatch.setattr("sys.argv", ["headgate", *where, *arguments])
        with pytest.raises(SystemExit) as ended:
            command_line.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return run


def test_a_release_is_paused_resumed_promoted_and_undone_by_hand(world: World, say: Say) -> None:
    code, out, _ = say("release", "pause", "fraud/2", "--reason", "lunch")
    assert code == 0
    assert "paused: lunch" in out
    listed = say("release", "list", "fraud")[1]
    assert "paused" in listed
    assert "lunch" not in listed
    assert say("release", "pause", "fraud/2")[0] == 0
    assert "paused" not in say("release", "resume", "fraud/2")[1]
    code, _, err = say("release", "promote", "fraud/2")
    assert code == 1
    assert "expected why a person promotes ahead of the judge (reason)" in err
    assert say("release", "promote", "fraud/2", "--reason", "known good")[0] == 0
    world.wait_for(phase_is(2, resources.PHASE_BAKING))
    code, out, _ = say("release", "abort", "fraud/2", "--reason", "second thoughts", "-o", "json")
    assert (code, json.loads(out)["phase"]) == (0, "PHASE_ROLLING_BACK")
    code, out, _ = say("release", "watch", "fraud/2")
    assert code == 1
    assert "rolled back" in out


def test_a_release_is_started_and_undone_by_hand(world: World, say: Say, tmp_path: Path) -> None:
    say("release", "abort", "fraud/2")
    world.wait_for(phase_is(2, resources.PHASE_ROLLED_BACK))
    (tmp_path / "policy.toml").write_text("bake_seconds = 0.001")
    assert say("environment", "set-policy", "production", str(tmp_path / "policy.toml"))[0] == 0
    code, out, _ = say("release", "start", "fraud/2", "--strategy", "blue-green", "--reason", "by hand")
    assert code == 0
    assert "blue-green" in out
    code, out, _ = say("release", "watch", "fraud/3", "-o", "json")
    states = [json.loads(line) for line in out.splitlines()]
    assert (code, states[-1]["phase"]) == (0, "PHASE_COMPLETED")
    assert json.loads(say("release", "get", "fraud/3", "-o", "json")[1])["reason"] == "by hand"
    assert say("release", "undo", "fraud/3", "--reason", "live version fails")[0] == 0
    assert "live version fails" in say("release", "get", "fraud/4")[1]
    assert say("release", "watch", "fraud/4")[0] == 0
    assert "production v1" in say("model", "get", "fraud")[1]


def test_a_release_into_an_environment_that_nobody_has_seen_asks_whether_the_name_is_right(say: Say) -> None:
    code, _, err = say("release", "start", "fraud/1", "-e", "prodction")
    assert code == 0
    assert "nothing has gone live in prodction yet" in err
    assert "HEADGATE_ENVIRONMENT=prodction" in err


def test_a_release_into_an_environment_with_a_policy_asks_nothing(say: Say, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("")
    say("environment", "set-policy", "staging", str(tmp_path / "policy.toml"))
    code, _, err = say("release", "start", "fraud/1", "-e", "staging")
    assert (code, err) == (0, "")


def test_a_release_that_started_is_not_called_failed_when_nobody_can_say_whether_the_name_is_right() -> None:
    class Gone:
        def ListReleases(self, *_: object, **__: object) -> None:
            raise grpc.RpcError("UNAVAILABLE")

    assert releases._is_known(Gone(), "production")


@pytest.mark.parametrize("world", [False], indirect=True, ids=["no policy"])
def test_a_release_into_an_environment_where_something_went_live_asks_nothing(world: World, say: Say) -> None:
    say("release", "abort", "fraud/2")
    world.wait_for(phase_is(2, resources.PHASE_ROLLED_BACK))
    code, _, err = say("release", "start", "fraud/2", "--override-quarantine")
    assert (code, err) == (0, "")


REFUSED = (
    (("start", "fraud/9"), 3, "models/fraud/versions/9 does not exist"),
    (("start", "fraud/1"), 1, "models/fraud/versions/1 is live in production: a live version needs no release"),
    (("start", "fraud/2"), 1, "is already in models/fraud/releases/2: a version has one release at a time"),
    (("undo", "fraud/1"), 1, "had no stable version: an undo needs a version to go back to"),
    (("undo", "fraud/2"), 1, "is stepping: the release that put the live version there is undone"),
    (("pause", "fraud/1"), 1, "is completed: a release that has ended stays as it is"),
    (("watch", "fraud/9"), 3, "models/fraud/releases/9 does not exist"),
    (("abort", "fraud"), 2, "expected MODEL/NUMBER"),
)


def test_a_wish_that_cannot_be_had_says_what_is_the_case_and_the_rule(say: Say) -> None:
    for arguments, code, said in REFUSED:
        found, out, err = say("release", *arguments)
        assert (found, out) == (code, ""), arguments
        assert said in err


def test_an_environment_without_a_policy_shows_the_default_that_it_follows(world: World, say: Say) -> None:
    code, out, err = say("environment", "get", "staging", "-o", "json")
    assert (code, "no policy was set for environments/staging" in err) == (0, True)
    assert [step["weight_bps"] for step in json.loads(out)["policy"]["steps"]] == [500, 2500, 5000]
    assert "no policy" not in say("environment", "get", "production")[2]
