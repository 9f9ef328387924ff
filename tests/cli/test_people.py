"""What people decide about a version, on a real registry, and who the log says they were."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headgate.client.actor import as_header
from headgate.v1 import configuration_pb2 as configuration
from tests.cli.test_release_verbs import Say, say
from tests.deployer.world import World

__all__ = ["say"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.start()
    yield world
    world.stop()


def last_fact(say: Callable[..., tuple[int, str, str]], kind: str) -> dict[str, object]:
    lines = say("log", "tail", "-o", "json")[1].splitlines()
    return next(fact for line in reversed(lines) if kind in (fact := json.loads(line)["value"]))


def test_a_gate_that_waits_for_people_counts_them_and_names_them(
    world: World, say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.pass_gate(1, configuration.GatePolicy(approvals=2))
    world.wait_for(lambda state: 1 in state.versions and state.versions[1].label == "awaiting approval")
    code, out, err = say("--actor", "ada", "version", "approve", "fraud/1", "--reason", "read it")
    assert (code, "awaiting approval" in out, "1 of 2: ada" in out) == (0, True, True)
    assert "it waits for 1 more, each by somebody else: ada approved it" in err
    code, out, _ = say("--actor", "ada", "version", "approve", "fraud/1", "--reason", "read it again")
    assert (code, "awaiting approval" in out, "1 of 2: ada" in out) == (0, True, True)
    code, out, err = say("--actor", "grace", "version", "approve", "fraud/1")
    assert (code, "waits" in err, "2 of 2: ada, grace" in out) == (0, False, True)
    assert "2 of 2: ada, grace" in say("version", "get", "fraud/1")[1]
    assert last_fact(say, "approval_granted")["actor"] == "grace"
    world.pass_gate(2, configuration.GatePolicy(approvals=1))
    world.wait_for(lambda state: 2 in state.versions and state.versions[2].label == "awaiting approval")
    monkeypatch.setenv("HEADGATE_ACTOR", "ada")
    code, out, _ = say("version", "deny", "fraud/2", "--reason", "biased")
    assert (code, "denied" in out) == (0, True)
    assert last_fact(say, "approval_denied")["actor"] == "ada"
    code, _, err = say("version", "approve", "fraud/2")
    assert (code, "only a version that awaits approval is approved or denied" in err) == (1, True)


def test_a_refused_version_is_waived_with_a_reason_only(world: World, say: Say) -> None:
    world.pass_gate(1, configuration.GatePolicy(rules=[configuration.GateRule(metric="accuracy", min=0.9)]))
    world.wait_for(lambda state: 1 in state.versions and state.versions[1].label == "failed")
    code, _, err = say("version", "waive", "fraud/1")
    assert (code, "a waiver says why" in err) == (1, True)
    code, out, _ = say("version", "waive", "fraud/1", "--reason", "a known gap in the data")
    assert (code, "waived" in out) == (0, True)


def test_a_name_that_a_header_cannot_carry_is_still_a_name() -> None:
    assert as_header("j\u00f6rg smith\n") == "j?rg?smith?"
    assert len(as_header("x" * 1_000)) == 128


def test_a_commit_that_is_a_version_already_is_said_to_be_one(world: World, say: Say, tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "headgate.toml").write_text('[model]\nname = "fraud"\n')
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "First"]):
        subprocess.run([*git, *arguments], check=True)
    assert "already" not in say("publish", str(folder))[2]
    world.wait_for(lambda state: 1 in state.versions)
    assert "this commit is fraud/1 already" in say("publish", str(folder))[2]
    assert "this commit is fraud/1 already" in say("publish", str(folder), "--again")[2]
