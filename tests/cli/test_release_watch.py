"""What `headgate release watch` prints, on a pipe and on terminals of 80 and 120 columns."""

import re
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from headgate.cli.release_watch import EVIDENCE_MS, Moment, evidence_text, live_lines, moments, show_lines, show_live
from headgate.client.stubs import Stubs
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from tests.deployer.world import World, phase_is

START_MS = 1_700_000_000_000
KEYS_LEFT = "more candidate keys"


def judgement(candidate: int, stable: int, bad: int = 0, worse: float = 1.0, fine: float = 1.5) -> facts.Judgement:
    stratum = facts.Stratum(candidate_new_keys=candidate, stable_new_keys=stable, candidate_new_bad_keys=bad)
    return facts.Judgement(
        strata=[stratum],
        verdict=facts.VERDICT_INCONCLUSIVE,
        fail_e_value=worse,
        fail_threshold=100,
        pass_e_value=fine,
        pass_threshold=20,
    )


NOTHING = facts.Judgement()


def moment(
    seconds: int,
    phase: str = "STEPPING",
    wait: str = "",
    found: facts.Judgement = NOTHING,
    **fields: Any,
) -> Moment:
    release = resources.Release(
        name="models/fraud/releases/2",
        release=2,
        candidate=2,
        stable=1,
        phase=resources.Phase.Value(f"PHASE_{phase}"),
        policy=configuration.ReleasePolicy(steps=[configuration.Step(weight_bps=1_000)] * 2),
        weights=[facts.Weight(version=1, weight_bps=9_000), facts.Weight(version=2, weight_bps=1_000)],
        phase_since_ms=START_MS,
        **fields,
    )
    at_ms = START_MS + seconds * 1_000
    return Moment(release, wait, f"{wait} (in 9 s)" if wait else "", found, at_ms, changed_at_ms=at_ms)


A_CANARY = [
    moment(0, wait="the shortest time of step 1, until 2023-11-14 22:13:40"),
    *(moment(s, wait=f"{40 - s} {KEYS_LEFT} ({s} of 40)", found=judgement(s, 9 * s)) for s in range(1, 15)),
    moment(15, found=judgement(40, 360)),
    moment(16, step=1, wait="gateway-0 to apply the weights", found=judgement(40, 361)),
    moment(17, step=1, wait="300 more candidate keys (0 of 300)", found=judgement(40, 361)),
    moment(18, step=1, wait="290 more candidate keys (10 of 300)", found=judgement(45, 370, bad=4, worse=255.0)),
    moment(19, "ROLLING_BACK", reason="The candidate is worse.", found=judgement(44, 369, bad=4, worse=250.0)),
    moment(20, "ROLLED_BACK", reason="The candidate is worse.", found=judgement(44, 369, bad=4, worse=250.0)),
]


def test_a_pipe_gets_one_line_for_each_change_of_phase_wait_and_evidence(capsys: pytest.CaptureFixture[str]):
    last = show_lines(A_CANARY)
    assert last.phase == resources.PHASE_ROLLED_BACK
    assert capsys.readouterr().out.splitlines() == [
        "2023-11-14 22:13:20  stepping 1/2  v1 90 %, v2 10 %",
        "2023-11-14 22:13:20  waits for the shortest time of step 1, until 2023-11-14 22:13:40",
        "2023-11-14 22:13:21  keys: v2 1 (0 bad), v1 9 (0 bad); inconclusive: evidence that v2 is worse 1 of 100,"
        " that it is good enough 1.5 of 20",
        "2023-11-14 22:13:22  keys: v2 2 (0 bad), v1 18 (0 bad); inconclusive: evidence that v2 is worse 1 of 100,"
        " that it is good enough 1.5 of 20",
        "2023-11-14 22:13:22  waits for 38 more candidate keys (2 of 40)",
        "2023-11-14 22:13:32  keys: v2 12 (0 bad), v1 108 (0 bad); inconclusive: evidence that v2 is worse 1 of 100,"
        " that it is good enough 1.5 of 20",
        "2023-11-14 22:13:36  keys: v2 40 (0 bad), v1 361 (0 bad); inconclusive: evidence that v2 is worse 1 of 100,"
        " that it is good enough 1.5 of 20",
        "2023-11-14 22:13:36  stepping 2/2  v1 90 %, v2 10 %",
        "2023-11-14 22:13:39  keys: v2 44 (4 bad), v1 369 (0 bad); inconclusive: evidence that v2 is worse 250 of 100,"
        " that it is good enough 1.5 of 20",
        "2023-11-14 22:13:39  rolling back  v1 90 %, v2 10 %  The candidate is worse.",
        "2023-11-14 22:13:40  rolled back  v1 90 %, v2 10 %",
    ]


def test_what_has_changed_has_the_time_of_its_fact_also_when_the_watch_begins_later(
    capsys: pytest.CaptureFixture[str],
):
    first = replace(moment(30, wait="a live gateway"), changed_at_ms=START_MS)
    later = replace(moment(32, step=1, found=judgement(40, 360)), changed_at_ms=START_MS + 31_000)
    show_lines([first, later])
    assert [line.partition("keys:")[0] for line in capsys.readouterr().out.splitlines()] == [
        "2023-11-14 22:13:20  stepping 1/2  v1 90 %, v2 10 %",
        "2023-11-14 22:13:50  waits for a live gateway",
        "2023-11-14 22:13:51  ",
        "2023-11-14 22:13:51  stepping 2/2  v1 90 %, v2 10 %",
    ]


def test_the_same_moments_print_nothing_a_second_time(capsys: pytest.CaptureFixture[str]):
    show_lines([each for each in A_CANARY for _ in range(3)])
    lines = [line.partition("  ")[2] for line in capsys.readouterr().out.splitlines()]
    assert len(lines) == len(set(lines))


def test_a_pause_is_printed_once_with_its_reason(capsys: pytest.CaptureFixture[str]):
    paused = moment(1, paused=True, paused_reason="no data", wait="someone to resume it: no data")
    show_lines([moment(0), paused, replace(paused, at_ms=paused.at_ms + 1_000)])
    assert [line.partition("  ")[2] for line in capsys.readouterr().out.splitlines()] == [
        "stepping 1/2  v1 90 %, v2 10 %",
        "stepping 1/2, paused: no data  v1 90 %, v2 10 %",
        "waits for someone to resume it: no data",
    ]


def test_growing_evidence_is_printed_at_most_once_in_ten_seconds(capsys: pytest.CaptureFixture[str]):
    show_lines([moment(s, found=judgement(s + 1, s)) for s in range(42)])
    evidence = [line for line in capsys.readouterr().out.splitlines() if "keys:" in line]
    assert len(evidence) == 40_000 // EVIDENCE_MS + 1


def test_text_of_others_comes_without_control_characters(capsys: pytest.CaptureFixture[str]):
    show_lines([moment(0, paused=True, paused_reason="lunch\x1b[2J\nsecond line")])
    assert "\x1b" not in capsys.readouterr().out


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_has_a_line_for_each_change_and_below_them_a_block_that_is_renewed(width: int):
    screen = StringIO()
    show_live(A_CANARY, Console(file=screen, force_terminal=True, width=width, height=40, color_system=None))
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue()).replace("\r", "\n")
    assert max(map(len, shown.splitlines())) <= width
    words = " ".join(shown.split())
    for phase in ("stepping 1/2 v1", "stepping 2/2 v1", "rolling back v1", "rolled back v1"):
        assert words.count(phase) == 1
    assert "waits for 26 more candidate keys (14 of 40) (in 9 s)" in words
    assert "stepping 1/2 for 14 s" in words
    assert "keys: v2 14 (0 bad), v1 126 (0 bad)" in words


def test_the_block_shows_the_elapsed_time_the_wait_and_the_evidence():
    assert live_lines(moment(75, wait="a live gateway", found=judgement(1, 2))) == [
        "stepping 1/2 for 1 min 15 s",
        "waits for a live gateway (in 9 s)",
        "keys: v2 1 (0 bad), v1 2 (0 bad); inconclusive: evidence that v2 is worse 1 of 100, that it is good enough"
        " 1.5 of 20",
    ]
    assert live_lines(moment(75, paused=True)) == ["stepping 1/2 for 1 min 15 s, now paused"]
    assert live_lines(moment(75, "COMPLETED")) == []


def test_evidence_is_empty_before_the_first_key_and_keeps_large_numbers_short():
    release = moment(0).release
    assert evidence_text(release, NOTHING) == ""
    large = evidence_text(release, judgement(1, 1, worse=123_456.7, fine=5e303))
    assert "worse 123,457 of 100" in large
    assert "good enough 5e+303 of 20" in large


def test_a_watch_shows_the_evidence_of_the_deployer_while_the_release_goes_on(tmp_path: Any):
    world = World(tmp_path)
    world.start()
    try:
        world.pass_gate(1)
        world.wait_for(phase_is(1, resources.PHASE_COMPLETED))
        world.pass_gate(2)
        with Stubs(f"127.0.0.1:{world.registry_port}", "", deployer=f"127.0.0.1:{world.port}") as stubs:
            world.wait_for(phase_is(2, resources.PHASE_STEPPING))
            found = moments(stubs, "models/fraud/releases/2", tick_seconds=0.05)
            seen = next(each for each in found if each.keys and each.waiting_for.startswith("the shortest time of"))
            assert "v2 2000 (0 bad)" in evidence_text(seen.release, seen.judgement)
            assert seen.changed_at_ms == seen.release.applied_at_ms
    finally:
        world.stop()


def test_a_watch_that_begins_late_starts_with_the_phase_and_not_with_the_evidence(capsys: pytest.CaptureFixture[str]):
    show_lines([moment(s, found=judgement(44, 400)) for s in range(3)])
    lines = [line.partition("  ")[2] for line in capsys.readouterr().out.splitlines()]
    assert [line.partition(" ")[0] for line in lines] == ["stepping", "keys:"]


def test_a_release_that_is_not_found_leaves_nothing_on_a_terminal():
    def not_found() -> Iterator[Moment]:
        raise LookupError
        yield moment(0)

    screen = StringIO()
    with pytest.raises(LookupError):
        show_live(not_found(), Console(file=screen, force_terminal=True, width=80, height=40, color_system=None))
    assert screen.getvalue() == ""
