"""What people decide about a version, on a real registry, and the names that the log records for them."""

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from headgate.client.actor import as_header
from headgate.v1 import configuration_pb2 as configuration
from tests.cli.test_release_verbs import Headgate, headgate
from tests.deployer.world import World

__all__ = ["headgate"]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    world.start()
    yield world
    world.stop()


def last_fact(headgate: Callable[..., tuple[int, str, str]], kind: str) -> dict[str, object]:
    lines = headgate("log", "tail", "-o", "json")[1].splitlines()
    return next(fact for line in reversed(lines) if kind in (fact := json.loads(line)["value"]))


def test_a_version_that_awaits_approval_shows_how_many_people_approved_it_and_who(
    world: World, headgate: Headgate, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.pass_gate(1, configuration.GatePolicy(approvals=2))
    world.wait_for(lambda state: 1 in state.versions and state.versions[1].label == "awaiting approval")
    code, out, err = headgate("--actor", "ada", "version", "approve", "fraud/1", "--reason", "read it")
    assert (code, "awaiting approval" in out, "1 of 2: ada" in out) == (0, True, True)
    assert "approved by ada; approvals still needed from other people: 1" in err
    code, out, _ = headgate("--actor", "ada", "version", "approve", "fraud/1", "--reason", "read it again")
    assert (code, "awaiting approval" in out, "1 of 2: ada" in out) == (0, True, True)
    code, out, err = headgate("--actor", "grace", "version", "approve", "fraud/1")
    assert (code, "still needed" in err, "2 of 2: ada, grace" in out) == (0, False, True)
    assert "2 of 2: ada, grace" in headgate("version", "get", "fraud/1")[1]
    assert last_fact(headgate, "approval_granted")["actor"] == "grace"
    world.pass_gate(2, configuration.GatePolicy(approvals=1))
    world.wait_for(lambda state: 2 in state.versions and state.versions[2].label == "awaiting approval")
    monkeypatch.setenv("HEADGATE_ACTOR", "ada")
    code, out, _ = headgate("version", "deny", "fraud/2", "--reason", "biased")
    assert (code, "denied" in out) == (0, True)
    assert last_fact(headgate, "approval_denied")["actor"] == "ada"
    code, _, err = headgate("version", "approve", "fraud/2")
    assert (code, "only a version that awaits approval can be approved or denied" in err) == (1, True)


def test_a_refused_version_is_waived_only_with_a_reason(world: World, headgate: Headgate) -> None:
    world.pass_gate(1, configuration.GatePolicy(rules=[configuration.GateRule(metric="accuracy", min=0.9)]))
    world.wait_for(lambda state: 1 in state.versions and state.versions[1].label == "failed")
    code, _, err = headgate("version", "waive", "fraud/1")
    assert (code, "Missing option '--reason'" in err) == (2, True)
    code, _, err = headgate("version", "waive", "fraud/1", "--reason", "")
    assert (code, "a waiver needs a reason" in err) == (2, True)
    code, out, _ = headgate("version", "waive", "fraud/1", "--reason", "a known gap in the data")
    assert (code, "waived" in out) == (0, True)


def test_characters_that_a_header_cannot_carry_are_replaced_in_an_actors_name() -> None:
    assert as_header("j\u00f6rg smith\n") == "j?rg?smith"
    assert as_header(" root\t\N{NO-BREAK SPACE}") == "root"
    assert len(as_header("x" * 1_000)) == 128


def test_publishing_a_commit_again_names_its_version(world: World, headgate: Headgate, tmp_path: Path) -> None:
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "headgate.toml").write_text('[model]\nname = "fraud"\n')
    git = ["git", "-C", str(folder), "-c", "user.name=t", "-c", "user.email=t@example.org"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "First"]):
        subprocess.run([*git, *arguments], check=True)
    assert "already" not in headgate("publish", str(folder))[2]
    world.wait_for(lambda state: 1 in state.versions)
    assert "this commit already is version fraud/1" in headgate("publish", str(folder))[2]
    assert "this commit already is version fraud/1" in headgate("publish", str(folder), "--again")[2]
