"""Tables and pages at 80 and 120 columns, and into a pipe."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from headgate.cli import columns, refusals, render
from headgate.cli.main import app
from headgate.cli.render import Format, show_list, show_one, show_rows
from headgate.cli.tables import MAX_CELL_LINES, WRAPPED_WIDTH, Column, Measured, fitting, page_text, table_text
from headgate.domain.printable import printable
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

METRICS = [
    facts.Metric(name=name, value=value)
    for name, value in (
        ("accuracy", 0.992),
        ("auc", 0.9986),
        ("f1", 0.9865),
        ("log_loss", 0.0518),
        ("precision", 1),
        ("recall", 0.9733),
    )
]
VERSIONS = [
    resources.Version(
        name="models/fraud/versions/2",
        version=2,
        label="passed",
        build=resources.BUILD_STATE_EVALUATED,
        verdict=resources.VERDICT_STATE_PASSED,
        commit="ca0b20aeb14d15162261297b07040a5f128bb72b",
        commit_message="Train on the transactions of the whole year, without refunds\n\nwith a body",
        create_time_ms=1_700_000_000_000,
        report=facts.EvaluationReport(metrics=METRICS),
    ),
    resources.Version(version=1, label="training", create_time_ms=1_600_000_000_000, commit="0" * 40),
]


def lists(columns: Sequence[Column], width: int | None) -> tuple[list[str], Sequence[str]]:
    text, left_out = table_text(columns, [[column.cell(each) for column in columns] for each in VERSIONS], width)
    return text.split("\n"), left_out


def test_a_list_in_80_columns_wraps_its_text_and_leaves_out_the_least_important_columns():
    lines, left_out = lists(columns.VERSIONS, 80)
    assert left_out == ["BUILD", "VERDICT", "METRICS"]
    assert lines == [
        "VERSION  LABEL     COMMIT      CREATED              MESSAGE",
        "v2       passed    ca0b20aeb1  2023-11-14 22:13:20  Train on the transactions of",
        "                                                    the whole year, without",
        "                                                    refunds",
        "v1       training  0000000000  2020-09-13 12:26:40",
    ]


def test_a_list_in_120_columns_shows_more_columns():
    lines, left_out = lists(columns.VERSIONS, 120)
    assert left_out == []
    assert lines[0].split() == [column.name for column in columns.VERSIONS]
    assert max(map(len, lines)) <= 120
    start = lines[0].index("METRICS")
    assert [line[start : start + 20].rstrip() for line in lines[1:7]] == [
        "accuracy 0.9920",
        "auc 0.9986",
        "f1 0.9865",
        "log_loss 0.0518",
        "precision 1.0000",
        "recall 0.9733",
    ]


def test_a_list_in_a_pipe_has_every_column_and_one_line_for_each_row():
    lines, left_out = lists(columns.VERSIONS, None)
    assert left_out == []
    assert len(lines) == 3
    assert lines[0].split() == [column.name for column in columns.VERSIONS]
    assert lines[1].endswith("recall 0.9733  Train on the transactions of the whole year, without refunds")


def test_the_columns_of_a_pipe_do_not_depend_on_whether_they_are_empty():
    names = [Column("A", str), Column("B", str)]
    assert table_text(names, [["1", ""]], None) == ("A  B\n1", [])
    assert table_text(names, [["1", ""]], 80) == ("A\n1", [])


def test_the_metrics_of_a_version_take_a_few_lines_of_a_page():
    values = {column.name.lower(): column.cell(VERSIONS[0]) for column in columns.VERSION}
    text = page_text(values, 80)
    assert max(map(len, text.split("\n"))) <= 80
    assert [line for line in text.split("\n") if "0." in line] == [
        "metrics  accuracy 0.9920    auc 0.9986         f1 0.9865",
        "         log_loss 0.0518    precision 1.0000   recall 0.9733",
    ]


def test_text_wraps_between_words_although_another_row_has_parts_that_stay_together():
    rows = [["1", "measured: accuracy 0.9920  auc 0.9986"], ["2", "release 5 rolls back: " + "undecided " * 20]]
    text, _ = table_text([Column("N", str), Column("FACT", str)], rows, 60)
    assert max(map(len, text.split("\n"))) <= 60
    assert "undecid\n" not in text


def test_a_metric_and_its_value_stay_together():
    rows = [["v1", "calibration_error 0.0317  f1 0.9865", "text " * 30]]
    text, _ = table_text([Column("VERSION", str), Column("METRICS", str), Column("MESSAGE", str)], rows, 70)
    assert "calibration_error 0.0317" in text


def test_a_long_cell_of_a_list_is_cut_in_a_terminal_and_whole_in_a_wide_table_and_on_a_page(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(render, "terminal_width", lambda: 80)
    wait = "someone to resume it: inconclusive: " + "the candidate had few keys, " * 30 + "end"
    show_rows([{"name": "fraud/1", "wait": wait}, {"name": "fraud/2", "wait": ""}], Format.TABLE)
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert len(lines) == 1 + MAX_CELL_LINES + 1
    assert max(map(len, lines)) <= 80
    assert lines[MAX_CELL_LINES].endswith("…")
    assert "--wide shows all of it" in printed.err
    show_rows([{"name": "fraud/1", "wait": wait}], Format.TABLE, wide=True)
    printed = capsys.readouterr()
    assert wait in printed.out
    assert printed.err == ""
    assert page_text({"wait": wait}, 80).replace("\n     ", " ").split() == ["wait", *wait.split()]


WAIT = "its tests, at the latest until 2026-11-27 11:26:56 (in 9 min); trainer-0 has worked on it for 4 min"


@pytest.mark.parametrize("width", [80, 120])
def test_a_wait_is_whole_before_the_less_important_columns_are_shown(width: int):
    wait = f"{WAIT}; churn/1, fraud/9 and others wait for a trainer meanwhile; it pauses at 2026-11-27 12:00:00"
    waiting = columns.with_wait(columns.VERSIONS, "LABEL", lambda v: wait if v.version == 1 else "")
    text, left_out = table_text(waiting, [[column.cell(each) for column in waiting] for each in VERSIONS], width)
    start = text.split("\n")[0].index("WAITS FOR")
    end = text.split("\n")[0].find("  ", start)
    room = None if end < 0 else end
    shown = " ".join(line[start:room].strip() for line in text.split("\n")[1:])
    assert max(map(len, text.split("\n"))) <= width
    assert "…" not in text
    assert "it pauses at 2026-11-27 12:00:00" in " ".join(text.split()) or wait.split()[-1] in shown
    assert "COMMIT" not in left_out or "CREATED" in left_out


def test_a_wait_that_is_too_long_for_a_list_keeps_its_begin_and_its_end():
    wait = "someone to resume it: " + "the candidate had few keys, " * 60 + "a newer version may take its place at noon"
    waiting = [Column("RELEASE", str), Column("WAITS FOR", str, end_counts=True), Column("WEIGHTS", str, 1)]
    text, left_out = table_text(waiting, [["fraud/1", wait, "v1 100 %"]], 80)
    lines = text.split("\n")
    assert left_out == ["WEIGHTS"]
    assert len(lines) == 1 + MAX_CELL_LINES
    assert lines[1].startswith("fraud/1  someone to resume it: the")
    assert [line.endswith("…") for line in lines] == [False, False, False, True, False, False, False]
    assert " ".join(" ".join(lines[4:]).split()).endswith("a newer version may take its place at noon")


def test_a_number_stays_with_its_unit():
    text = page_text({"wait": "until then (in 9 min 17 s), for 2 d 3 h; v2 gets 5 % of 30 seconds"}, 26)
    assert text.split("\n") == [
        "wait  until then (in 9 min",
        "      17 s), for 2 d 3 h;",
        "      v2 gets 5 % of 30",
        "      seconds",
    ]


def test_a_digest_that_does_not_fit_is_cut_into_lines():
    text, _ = table_text([Column("NAME", str), Column("DIGEST", str)], [["model.onnx", "a" * 64]], 60)
    lines = text.split("\n")
    assert max(map(len, lines)) <= 60
    assert "".join(line[12:] for line in lines[1:]) == "a" * 64


def test_a_log_keeps_its_own_lines_below_the_page(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(render, "terminal_width", lambda: 80)
    log = f"{' FAILURES ':=^80}\n    def test():\n>\tassert 1  ==  2\x1b[2J"
    show_one(resources.Version(name="models/fraud/versions/1", failure_log_tail=log), columns.VERSION, Format.TABLE)
    out = capsys.readouterr().out
    assert out.endswith(
        f"\n\nlog\n{' FAILURES ':=^80}\n    def test():\n>       assert 1  ==  2\N{REPLACEMENT CHARACTER}[2J\n"
    )


def test_a_page_wraps_a_long_value_beside_its_name_and_leaves_out_empty_values():
    text = page_text({"name": "fraud", "empty": "", "reason": "one two three four five six seven"}, 30)
    assert text == "name    fraud\nreason  one two three four\n        five six seven"
    assert page_text({"reason": "one two three " * 20}, None).count("\n") == 0


def test_a_word_that_is_longer_than_its_column_is_broken_and_not_cut():
    text = page_text({"digest": "0123456789" * 6}, 40)
    assert text.replace("\n", "").replace(" ", "") == "digest" + "0123456789" * 6


@given(
    st.lists(st.builds(Measured, st.integers(1, 200), st.integers(1, 40), st.integers(0, 5)), min_size=1, max_size=9),
    st.integers(20, 200),
)
def test_what_is_shown_fits_unless_the_columns_of_rank_0_alone_do_not(found: list[Measured], width: int):
    measured = [Measured(max(each.widest, each.narrowest), each.narrowest, each.rank) for each in found]
    widths = fitting(measured, width)
    assert all(widths[n] for n, column in enumerate(measured) if column.rank == 0)
    shown = [room for room in widths if room]
    taken = sum(shown) + 2 * (len(shown) - 1)
    only_needed = all(column.rank == 0 for column, room in zip(measured, widths, strict=True) if room)
    assert taken <= width or (only_needed and max(shown) <= WRAPPED_WIDTH)
    left_out = [column.rank for column, room in zip(measured, widths, strict=True) if not room]
    kept = [column.rank for column, room in zip(measured, widths, strict=True) if room]
    assert not left_out or max(kept, default=0) <= min(left_out)


@given(st.lists(st.tuples(st.text(max_size=60), st.text(max_size=60)), min_size=1, max_size=5))
def test_no_line_is_wider_than_the_terminal_whatever_the_text(found: list[tuple[str, str]]):
    rows = [[printable(cell) for cell in row] for row in found]
    text, _ = table_text([Column("A", str), Column("B", str, 1)], rows, 130)
    assert max(map(cell_len, text.split("\n"))) <= 130


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "terminal_width", lambda: 80)


@pytest.mark.usefixtures("terminal")
def test_a_narrow_terminal_names_the_columns_that_it_left_out_and_wide_shows_them(capsys: pytest.CaptureFixture[str]):
    show_list(VERSIONS, columns.VERSIONS, Format.TABLE)
    assert capsys.readouterr().err == "without BUILD, VERDICT, METRICS: --wide shows every column\n"
    show_list(VERSIONS, columns.VERSIONS, Format.TABLE, wide=True)
    printed = capsys.readouterr()
    assert "log_loss 0.0518" in printed.out
    assert printed.err == ""


def test_an_empty_list_is_a_sentence_beside_the_data_and_an_empty_list_of_json(capsys: pytest.CaptureFixture[str]):
    show_list([], columns.VERSIONS, Format.TABLE, empty="No versions yet.")
    assert tuple(capsys.readouterr()) == ("", "No versions yet.\n")
    show_list([], columns.VERSIONS, Format.JSON, empty="No versions yet.")
    printed = capsys.readouterr()
    assert (json.loads(printed.out), printed.err) == ([], "")


def test_a_pipe_gets_the_same_bytes_whatever_the_terminal_of_the_caller(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    printed = set()
    for environment in ({}, {"COLUMNS": "40"}, {"COLUMNS": "200", "FORCE_COLOR": "1", "TERM": "xterm-256color"}):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        show_rows([{"id": "3:17", "done": True, "outcome": "replayed " * 30}], Format.TABLE)
        printed.add(tuple(capsys.readouterr()))
    ((out, err),) = printed
    assert (out.split("\n")[0], "\x1b" in out, err) == ("ID    DONE  OUTCOME", False, "")


def commands_of(node: Any) -> Iterator[Any]:
    for child in getattr(node, "commands", {}).values():
        yield from commands_of(child)
    if node.callback is not None and not getattr(node, "commands", {}):
        yield node


def test_every_list_has_the_option_that_shows_every_column():
    lists = [
        command
        for command in commands_of(typer.main.get_command(app))
        if command.name in ("list", "history", "refusals")
    ]
    assert len(lists) >= 8
    assert [command.name for command in lists if "--wide" not in {o for p in command.params for o in p.opts}] == []


MODELS = [
    resources.Model(
        name="models/fraud",
        live={"production": 2, "staging": 3},
        latest_version=3,
        aliases={"champion": 2},
        create_time_ms=1_700_000_000_000,
        labels={"team": "risk", "tier": "1"},
        description="Finds card payments that are fraud, for the payments of all shops in Europe",
    )
]
RELEASES = [
    resources.Release(
        name=f"models/fraud/releases/{number}",
        release=number,
        environment="production",
        candidate=number,
        stable=number - 1,
        strategy=configuration.STRATEGY_CANARY,
        phase=resources.PHASE_ROLLED_BACK,
        weights=[facts.Weight(version=number - 1, weight_bps=10_000)],
        requested_at_ms=1_700_000_000_000,
    )
    for number in (12, 11)
]


@pytest.mark.parametrize(
    ("shown", "found", "left_out"),
    [
        (columns.MODEL, MODELS, {80: ["ALIASES", "LABELS"], 120: []}),
        (columns.FOUND_VERSIONS, VERSIONS[:1], {80: ["BUILD", "VERDICT", "METRICS"], 120: []}),
        (columns.RELEASES, RELEASES, {80: ["STABLE", "STRATEGY"], 120: []}),
        (columns.FOUND_RELEASES, RELEASES, {80: ["STABLE", "STRATEGY"], 120: []}),
    ],
)
@pytest.mark.parametrize("width", [80, 120, None])
def test_every_list_fits_and_leaves_out_the_columns_of_least_use(
    shown: Sequence[Column], found: Sequence[Any], left_out: dict[int, list[str]], width: int | None
):
    rows = [[printable(column.cell(each)) for column in shown] for each in found]
    text, missing = table_text(shown, rows, width)
    assert missing == left_out.get(width or 0, [])
    lines = text.split("\n")
    assert max(map(len, lines)) <= width if width else len(lines) == 1 + len(found)


def test_the_list_of_refusals_fits_into_80_columns_with_what_was_wrong_and_the_rule(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(render, "terminal_width", lambda: 80)
    refused = commands.Refusal(
        stream="models/fraud",
        command_id="7d0f4a52-6f0c-4f0e-9b7e-1c7f4f3d2a11",
        actor="file:///srv/repositories/fraud",
        code="illegal-transition",
        rule="a release that has ended cannot change",
        message="release 2 of fraud is completed",
        refused_at_ms=1_700_000_000_000,
    )
    show_rows([refusals._line(refused)], Format.TABLE, ranks=refusals.RANKS)
    printed = capsys.readouterr()
    assert max(map(len, printed.out.splitlines())) <= 80
    assert printed.out.splitlines()[0].split() == ["TIME", "STREAM", "CODE", "REASON"]
    reason = " ".join(line[55:].strip() for line in printed.out.splitlines()[1:])
    assert reason == "release 2 of fraud is completed: a release that has ended cannot change"
    assert printed.err == "without ACTOR, ID: --wide shows every column\n"
