"""`make check` fails on a package with a known vulnerability, and says about how many packages nobody was asked."""

import json
import runpy
from typing import Any

import pytest

from tests.house.tree import ROOT

AUDIT: dict[str, Any] = runpy.run_path(str(ROOT / "scripts/audit.py"))
SOUND = {"name": "grpcio", "version": "1.81.0", "vulns": []}
UNKNOWN = {"name": "torch", "skip_reason": "Dependency not found on PyPI and could not be audited: torch (2.13.0)"}
VULNERABLE = {
    "name": "flask",
    "version": "0.5",
    "vulns": [{"id": "PYSEC-2019-179", "fix_versions": ["1.0"], "aliases": [], "description": "Unbounded memory."}],
}


def audited(monkeypatch: pytest.MonkeyPatch, report: str) -> int:
    monkeypatch.setitem(AUDIT["main"].__globals__, "ask", lambda: report)
    code: int = AUDIT["main"]()
    return code


def test_a_known_vulnerability_fails_the_check_and_names_the_version_that_mends_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited(monkeypatch, json.dumps({"dependencies": [SOUND, VULNERABLE]})) == 1
    printed = capsys.readouterr()
    assert printed.err == "audit: flask 0.5: PYSEC-2019-179, mended in 1.0\n"
    assert printed.out == "audit: 2 packages, 1 known vulnerabilities\n"


def test_packages_without_advisories_are_counted_and_do_not_fail_the_check(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited(monkeypatch, json.dumps({"dependencies": [UNKNOWN]})) == 0
    assert "1 packages could not be asked about" in capsys.readouterr().out


def test_without_a_network_the_check_says_that_it_asked_about_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audited(monkeypatch, "") == 0
    assert "no package was asked about" in capsys.readouterr().out


def test_every_version_of_an_image_is_among_those_that_are_asked_about() -> None:
    def pins(lock: str) -> set[str]:
        lines = (ROOT / "requirements" / f"{lock}.txt").read_text().splitlines()
        return {line.split(" ", 1)[0] for line in lines if "==" in line and not line.startswith(" ")}

    asked = set().union(*(pins(lock) for lock in AUDIT["LOCKS"]))
    for image in ("registry", "trainer", "evaluator", "deployer", "gateway", "portal"):
        assert pins(image) <= asked, image
