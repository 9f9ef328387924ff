"""docker-compose.yml follows its rules, and each rule catches the change that it exists for."""

import copy
import json
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from headgate.cli.publish import read_change
from tests.deploy import compose_rules as rules
from tests.house.tree import ROOT
from tests.server_process import free_ports
from tests.waiting import PATIENCE_SECONDS

SCHEMA = json.loads((Path(__file__).parent / "schemas/compose-spec.json").read_text())
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]


def faults(document: rules.Document) -> list[str]:
    return [error.message for error in Draft202012Validator(SCHEMA).iter_errors(document)]


def test_the_file_matches_the_compose_specification():
    Draft202012Validator.check_schema(SCHEMA)
    assert faults(COMPOSE) == []


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_the_file_follows_the_rule(rule):
    assert list(rule(COMPOSE)) == []


Change = Callable[[rules.Document], object]

BREAKING: list[tuple[Callable[[rules.Document], object], Change]] = [
    (rules.images_are_pinned, lambda d: d["redis"].update(image="redis:latest")),
    (rules.images_are_pinned, lambda d: d["redis"].update(image="redis:8")),
    (rules.images_are_pinned, lambda d: d["redis"].update(image="redis")),
    (rules.images_cannot_be_a_strangers, lambda d: d["gateway"].update(image="headgate/gateway:0.1.0")),
    (rules.images_cannot_be_a_strangers, lambda d: d["redis"].update(image="redis-plus/redis:8.2.2")),
    (rules.every_service_has_a_health_check, lambda d: d["gateway"].pop("healthcheck")),
    (rules.every_service_has_a_health_check, lambda d: d["topics"].update(restart="always")),
    (
        rules.dependencies_wait_for_what_can_be_waited_for,
        lambda d: d["registry"]["depends_on"].update(topics={"condition": "service_started"}),
    ),
    (
        rules.dependencies_wait_for_what_can_be_waited_for,
        lambda d: d["gateway"]["depends_on"].update(registry={"condition": "service_healthy"}),
    ),
    (
        rules.dependencies_wait_for_what_can_be_waited_for,
        lambda d: d["gateway"]["depends_on"].update(nobody={"condition": "service_healthy"}),
    ),
    (rules.nothing_has_rights, lambda d: d["gateway"].update(read_only=False)),
    (rules.nothing_has_rights, lambda d: d["gateway"].update(cap_drop=["NET_RAW"])),
    (rules.nothing_has_rights, lambda d: d["gateway"].update(cap_add=["SYS_ADMIN"])),
    (rules.nothing_has_rights, lambda d: d["gateway"].pop("security_opt")),
    (rules.nothing_has_rights, lambda d: d["gateway"].update(privileged=True)),
    (rules.nothing_has_rights, lambda d: d["gateway"].pop("mem_limit")),
    (rules.ports_are_on_the_loopback, lambda d: d["gateway"].update(ports=["7404:7404"])),
    (rules.ports_are_on_the_loopback, lambda d: d["gateway"].update(ports=["0.0.0.0:7404:7404"])),
    (rules.networks_are_private, lambda d: d["redis"].update(networks=["backplane", "doors"])),
    (rules.networks_are_private, lambda d: d["redis"].update(networks=["backplane"])),
    (rules.networks_are_private, lambda d: d["trainer"].update(networks=["view"])),
    (rules.what_is_mounted_exists, lambda d: d["trainer"]["volumes"].append("./no-such-file:/etc/file:ro")),
    (rules.what_is_mounted_exists, lambda d: d["trainer"]["volumes"].append("no-such-volume:/data")),
    (rules.no_volume_is_without_a_name, lambda d: d["kafka"].update(tmpfs=["/tmp"])),
    (rules.no_volume_is_without_a_name, lambda d: d["prometheus"].update(volumes=[])),
    (rules.only_the_registry_sees_the_signing_key, lambda d: d["gateway"]["volumes"].append("keys:/keys:ro")),
    (rules.settings_are_known_and_complete, lambda d: d["gateway"]["environment"].update(HEADGATE_KEY="/keys")),
    (rules.settings_are_known_and_complete, lambda d: d["gateway"]["environment"].pop("HEADGATE_LOG")),
    (rules.settings_are_known_and_complete, lambda d: d["gateway"]["environment"].update(HEADGATE_PORT="any")),
    (rules.settings_are_known_and_complete, lambda d: d["gateway"]["environment"].update(HEADGATE_HOST="127.0.0.1")),
    (rules.jobs_run_commands_that_there_are, lambda d: d["keys"].update(entrypoint=["headgate", "keys", "made"])),
    (rules.jobs_run_commands_that_there_are, lambda d: d["keys"].update(entrypoint=["sh", "-c", "true"])),
    (rules.the_grace_is_longer_than_the_drain, lambda d: d["gateway"].update(stop_grace_period="10s")),
    (rules.every_image_is_built_by_the_one_recipe, lambda d: d["gateway"]["build"].update(args=["SERVICE=trainer"])),
    (rules.every_image_is_built_by_the_one_recipe, lambda d: d["gateway"]["build"]["args"].remove("PIP_INDEX_URL")),
    (
        rules.every_image_is_built_by_the_one_recipe,
        lambda d: d["gateway"].update(image="headgate.invalid/gateway:0.0.1"),
    ),
    (rules.kafka_is_what_the_tests_run_on, lambda d: d["kafka"].update(image="apache/kafka:4.3.1")),
]


@pytest.mark.parametrize(("rule", "change"), BREAKING)
def test_a_file_that_breaks_the_rule_is_caught(rule, change):
    # Copied as text, because services share objects through YAML anchors.
    document = json.loads(json.dumps(COMPOSE))
    change(document["services"])
    assert list(rule(document)) != []


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["services"]["gateway"].update(mem_limits="1g"),
        lambda d: d["services"]["gateway"].update(healthcheck={"tests": ["CMD", "true"]}),
        lambda d: d.update(service={}),
    ],
)
def test_a_misspelt_key_is_caught_by_the_schema(change):
    document = copy.deepcopy(COMPOSE)
    change(document)
    assert faults(document) != []


@pytest.mark.parametrize("target", ["up", "down", "images"])
def test_without_an_engine_make_names_the_command_that_needs_none(target, tmp_path):
    environ = {**os.environ, "DOCKER_HOST": f"unix://{tmp_path}/nobody"}
    ended = subprocess.run(
        ["make", "--no-print-directory", target], cwd=ROOT, env=environ, capture_output=True, text=True
    )
    assert ended.returncode != 0
    assert "no Docker engine answers" in ended.stderr
    assert "headgate up" in ended.stderr


def probed(port: int) -> int:
    """The exit code of Kafka's health check, run against another port of this machine."""
    _, *command = SERVICES["kafka"]["healthcheck"]["test"]
    asked = [word.replace("/9094", f"/{port}") for word in command]
    return subprocess.run(asked, stderr=subprocess.DEVNULL, timeout=PATIENCE_SECONDS).returncode


def test_kafkas_health_check_is_a_tcp_connection_and_starts_no_jvm():
    assert SERVICES["kafka"]["healthcheck"]["test"][1] == "bash"
    with socket.create_server(("127.0.0.1", 0)) as broker:
        assert probed(broker.getsockname()[1]) == 0
    assert probed(free_ports(1)[0]) != 0


DOCKER = """#!/bin/sh
case "$*" in
    info) ;;
    version*) echo "$ENGINE" ;;
    "compose version --short") [ -n "$COMPOSE" ] && echo "$COMPOSE" ;;
    *) echo "docker $*" ;;
esac
"""


@pytest.fixture
def down(tmp_path):
    """Runs `make down` with a docker of these versions. Returns its exit code and its errors."""
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)

    def run(engine: str, compose: str) -> tuple[int, str]:
        versions = {"ENGINE": engine, "COMPOSE": compose, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
        ended = subprocess.run(
            ["make", "--no-print-directory", "down"],
            cwd=ROOT,
            env={**os.environ, **versions},
            capture_output=True,
            text=True,
        )
        return ended.returncode, ended.stdout + ended.stderr

    return run


@pytest.mark.parametrize(("engine", "compose"), [("26.0.0", "2.26.0"), ("28.2.2", "v2.39.1"), ("30.1.0-rc1", "5.0.1")])
def test_an_engine_and_compose_that_are_new_enough_are_accepted(down, engine, compose):
    assert down(engine, compose) == (0, "docker compose --profile=* down\n")


@pytest.mark.parametrize(
    ("engine", "compose", "words"),
    [
        ("20.10.24+dfsg1", "2.39.1", "down: Docker Engine 20.10.24+dfsg1 is too old: 26 or newer is needed"),
        ("25.0.5", "2.39.1", "26 or newer is needed"),
        ("28.2.2", "2.25.9", "down: Docker Compose 2.25.9 is too old: 2.26 or newer is needed"),
        ("28.2.2", "", "install the Compose plugin, 2.26 or newer"),
    ],
)
def test_an_engine_or_compose_that_is_too_old_is_named(down, engine, compose, words):
    code, errors = down(engine, compose)
    assert code != 0
    assert words in errors


def test_the_repositories_of_make_up_can_be_published(tmp_path):
    def prepare() -> None:
        subprocess.run([ROOT / "scripts/repositories.sh", tmp_path], check=True, capture_output=True)

    prepare()
    made = {folder.name: read_change(folder, "HEAD") for folder in tmp_path.iterdir()}
    assert {"fraud", "breast_cancer"} <= made.keys()
    assert made["fraud"][0].model == "fraud"
    prepare()
    assert {folder.name: read_change(folder, "HEAD") for folder in tmp_path.iterdir()} == made
