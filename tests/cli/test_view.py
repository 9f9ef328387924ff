"""`headgate view`, filters and labels at the command line, on a real registry and a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest
from redis import Redis
from typer.testing import CliRunner, Result

from headgate.cli.main import app
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from headgate.view.redis import layout
from services.registry.app import Registry, build
from services.registry.settings import Settings
from tests.cli.test_cli import run
from tests.registry.waiting import REPOSITORY, commit
from tests.waiting import until

Headgate = Callable[..., Result]


@pytest.fixture
def registry(tmp_path: Path, redis_server: str) -> Iterator[tuple[Registry, int]]:
    made = build(Settings(log=f"sqlite://{tmp_path}/log.db", port=0, redis=redis_server))
    yield made, made.start()
    made.stop(2)


@pytest.fixture
def headgate(registry: tuple[Registry, int], tmp_path: Path, redis_server: str) -> Headgate:
    """Runs a command against this registry, its log and its Redis."""
    env = {"HEADGATE_LOG": f"sqlite://{tmp_path}/log.db", "HEADGATE_REDIS": redis_server}
    return lambda *command: CliRunner().invoke(app, ["--registry", f"127.0.0.1:{registry[1]}", *command], env=env)


def is_up_to_date(registry: Registry) -> bool:
    view = registry._redis.view
    return view is not None and view.writer.wait_written(registry._parts.fold.accepted, 1.0)


def test_an_operator_reads_checks_and_rebuilds_the_view(
    registry: tuple[Registry, int], headgate: Headgate, redis_server: str
) -> None:
    assert "WRONG  view: " in headgate("doctor", "--redis", "redis://127.0.0.1:1/0").stdout
    until(lambda: headgate("view", "status").exit_code == 0, "a view")
    assert f"ok     view: generation {layout.SCHEMA}:" in headgate("doctor").stdout
    create(registry[1], "fraud", "churn")
    assert headgate("model", "label", "fraud", "team", "risk").exit_code == 0
    listed = headgate("model", "list", "--filter", "labels.team = risk").stdout
    assert "fraud" in listed
    assert "team=risk" in listed
    assert "churn" not in listed
    found = headgate("version", "list", "-", "--order", "name").stdout.split()
    assert [word for word in found if "/" in word] == ["churn/1", "fraud/1"]
    until(lambda: is_up_to_date(registry[0]), "the view to be up to date")
    assert "equal to the log's state: 4 rows" in headgate("view", "verify").stdout
    rebuilt = headgate("view", "rebuild")
    assert "serves" in rebuilt.stdout
    generation = rebuilt.stdout.split()[1]
    assert generation in headgate("view", "status").stdout
    assert '"behind": {}' in headgate("view", "status", "-o", "json").stdout
    with Redis.from_url(redis_server) as client:
        client.hset(layout.prefix_of(generation) + "model", "fraud", b"")
        client.hdel(layout.prefix_of(generation) + "version", "churn/0000000001")
    checked = headgate("view", "verify")
    assert checked.exit_code == 1
    assert "models/fraud: another state in the view" in checked.stdout
    assert "models/churn/versions/1: not in the view" in checked.stdout


def create(port: int, *models: str) -> None:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = registry_service_grpc.RegistryServiceStub(channel)
        for model in models:
            stub.CreateVersion(
                registry_service.CreateVersionRequest(parent=f"models/{model}", repository=REPOSITORY, commit=commit(1))
            )


def test_a_missing_or_wrong_address_of_redis_is_named_in_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], redis_server: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HEADGATE_REDIS", raising=False)
    monkeypatch.setenv("HEADGATE_LOG", f"sqlite://{tmp_path}/log.db")
    assert run(monkeypatch, "view", "rebuild") == 2
    assert "set HEADGATE_REDIS" in capsys.readouterr().err
    assert run(monkeypatch, "view", "rebuild", "--redis", "http://x") == 2
    assert "expected redis://" in capsys.readouterr().err
    assert run(monkeypatch, "view", "rebuild", "--redis", "redis://127.0.0.1:1/0") == 4
    assert "cannot be reached" in capsys.readouterr().err
