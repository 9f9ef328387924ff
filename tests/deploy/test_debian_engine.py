"""`make test-images` says why where it cannot run."""

import os

import pytest

from tests.deploy import debian_engine
from tests.deploy.debian_engine import DebianEngine, EngineUnavailable


def test_another_machine_than_it_is_made_for_is_refused(monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    with pytest.raises(EngineUnavailable, match="needs root on Debian 12"):
        DebianEngine()


@pytest.fixture
def make_engine(monkeypatch, tmp_path):
    """Makes the engine whose server is this script, with this client."""

    def make(script, client):
        monkeypatch.setattr(debian_engine, "_refuse_other_machines", lambda: None)
        (tmp_path / "dockerd").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "dockerd").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        monkeypatch.setattr(debian_engine, "CLIENT", client)
        return DebianEngine()

    return make


def test_an_engine_that_does_not_start_is_told_with_its_last_words(make_engine):
    engine = make_engine("echo no control groups here\nexit 1", "/bin/false")
    with pytest.raises(EngineUnavailable, match=r"dockerd does not start(.|\n)*no control groups here"), engine:
        pass


def test_an_engine_without_its_client_is_ended_and_names_the_client(make_engine, tmp_path):
    missing = str(tmp_path / "docker")
    engine = make_engine("exec sleep 600", missing)
    with pytest.raises(EngineUnavailable, match=missing), engine:
        pass
    assert engine.has_ended()
