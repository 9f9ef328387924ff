"""`make test-images` says why where it cannot run."""

import os

import pytest

from tests.deploy import debian_engine
from tests.deploy.debian_engine import DebianEngine, EngineUnavailable


def test_another_machine_than_it_is_made_for_is_refused(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    with pytest.raises(EngineUnavailable, match="needs root on Debian 12"):
        DebianEngine()


def test_an_engine_that_does_not_start_is_told_with_its_last_words(monkeypatch, tmp_path):
    monkeypatch.setattr(debian_engine, "_refuse_other_machines", lambda: None)
    (tmp_path / "dockerd").write_text("#!/bin/sh\necho no control groups here\nexit 1\n")
    (tmp_path / "dockerd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(debian_engine, "CLIENT", "/bin/false")
    with pytest.raises(EngineUnavailable, match=r"dockerd does not start(.|\n)*no control groups here"), DebianEngine():
        pass


def test_an_engine_without_its_client_is_ended_and_names_the_client(monkeypatch, tmp_path):
    monkeypatch.setattr(debian_engine, "_refuse_other_machines", lambda: None)
    (tmp_path / "dockerd").write_text("#!/bin/sh\nexec sleep 600\n")
    (tmp_path / "dockerd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(debian_engine, "CLIENT", str(tmp_path / "docker"))
    engine = DebianEngine()
    with pytest.raises(EngineUnavailable, match=str(tmp_path / "docker")), engine:
        pass
    assert engine.has_ended()
