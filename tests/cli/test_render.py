import json

import pytest

from headgate.cli.columns import MODEL, VERSION
from headgate.cli.render import Format, show_list, show_one
from headgate.domain.words import time_text
from headgate.v1 import resources_pb2 as resources

HOSTILE = "merged\x1b]0;owned\x07 \x9b2Jby"
OLD = "https://reader:t0ken@git.example.com/fraud"


@pytest.mark.parametrize("show", [show_one, lambda model, columns, output: show_list([model], columns, output)])
def test_text_of_others_comes_to_the_terminal_without_control_characters(
    show, capsys: pytest.CaptureFixture[str]
) -> None:
    show(resources.Model(name="models/fraud", description=HOSTILE), MODEL, Format.TABLE)
    shown = capsys.readouterr().out
    assert "owned" in shown
    assert [char for char in shown if not char.isprintable() and char != "\n"] == []


@pytest.mark.parametrize("output", list(Format))
def test_credentials_in_an_old_record_are_masked_in_every_format(
    output: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = resources.Version(name="models/fraud/versions/1", repository=OLD, commit_message=f"from {OLD}")
    show_one(failed, VERSION, output)
    shown = capsys.readouterr().out
    assert "t0ken" not in shown
    if output is Format.JSON:
        assert json.loads(shown)["repository"] == "https://***@git.example.com/fraud"


@pytest.mark.parametrize("at_ms", [2**62, -(2**62), 253_402_300_800_000])
def test_a_time_that_no_calendar_has_is_shown_in_milliseconds(at_ms: int) -> None:
    assert time_text(at_ms) == f"{at_ms} ms after 1970"
