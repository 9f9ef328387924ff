"""The docs list every setting of the services and every key of a release policy, with its default."""

import importlib
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields
from enum import Enum
from pathlib import Path
from typing import Any

import pytest
import typer

from headgate.cli.main import app
from headgate.cli.policy_file import DURATIONS, JUDGE
from headgate.domain.policy import DEFAULT
from headgate.runtime.service import ProcessSettings
from tests.house.test_docs import pages
from tests.house.tree import ROOT, short

SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/settings.py"))
PAGE = (ROOT / "docs" / "operators" / "settings.md").read_text()
OF_SERVICES, OF_THE_COMMAND_LINE = PAGE.split("## Of the command line")
NAME = re.compile(r"HEADGATE_[A-Z]+(?:_[A-Z]+)*")
A_FOLDER_OF_THE_SYSTEM = "a temporary folder"


def rows(text: str) -> Iterator[list[str]]:
    for line in text.splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        if NAME.fullmatch(cells[0]):
            yield cells


def settings_of(service: str) -> dict[str, "Field[Any]"]:
    kinds = (importlib.import_module(f"services.{service}.settings").Settings, ProcessSettings)
    return {f"HEADGATE_{field.name.upper()}": field for kind in kinds for field in fields(kind)}


def default_of(field: "Field[Any]", service: str) -> str:
    value = field.default.value if isinstance(field.default, Enum) else field.default
    if value is MISSING:
        return "required" if field.default_factory is MISSING else A_FOLDER_OF_THE_SYSTEM
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return (f"{value:g}" if isinstance(value, float) else str(value)).replace(service, "<service>") or "none"


def variables(node: Any) -> set[str]:
    """The environment variables that a command and its subcommands read."""
    own = {name for parameter in node.params for name in [parameter.envvar] if name}
    return own.union(*(variables(child) for child in getattr(node, "commands", {}).values()))


def test_the_page_lists_every_setting_and_the_services_that_read_it() -> None:
    readers: dict[str, set[str]] = {}
    for service in SERVICES:
        for name in settings_of(service):
            readers.setdefault(name, set()).add(service)
    listed = {name: set(SERVICES if who == "all" else who.split(", ")) for name, who, *_ in rows(OF_SERVICES)}
    assert listed == readers


def test_the_page_gives_the_default_of_every_setting() -> None:
    shown = {name: default for name, _, default, _ in rows(OF_SERVICES)}
    for service in SERVICES:
        for name, field in settings_of(service).items():
            common, *exceptions = shown[name].split(", ")
            own = [text.split()[1] for text in exceptions if text.startswith(f"{service} ")]
            assert default_of(field, service) == (own or [common])[0], (service, name)


def test_the_page_lists_the_settings_of_the_command_line() -> None:
    assert {name for name, *_ in rows(OF_THE_COMMAND_LINE)} == variables(typer.main.get_command(app))


@pytest.mark.parametrize("page", pages(), ids=short)
def test_a_page_names_only_existing_settings(page: Path) -> None:
    assert set(NAME.findall(page.read_text())) <= set(NAME.findall(PAGE))


def test_the_page_for_model_authors_gives_the_default_of_every_key_of_a_policy() -> None:
    text = (ROOT / "docs" / "model-authors.md").read_text()
    shown = dict(re.findall(r"^\| `(\w+_seconds|judge\.\w+)` \| ([\d.]+) \|", text, re.MULTILINE))
    durations = {f"{name}_seconds": f"{getattr(DEFAULT, f'{name}_ms') / 1000:g}" for name in DURATIONS}
    assert shown == durations | {f"judge.{name}": f"{getattr(DEFAULT.judge, name):g}" for name in JUDGE}
    weights = [f"{step.weight_bps / 100:g} %" for step in DEFAULT.steps]
    assert f"| {', '.join(weights[:-1])} and {weights[-1]}, each " in text
