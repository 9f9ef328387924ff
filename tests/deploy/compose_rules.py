"""The rules for docker-compose.yml beside its schema. Each rule is a function from the document to its problems."""

import re
from collections.abc import Callable, Iterator
from typing import Any

from typer.main import get_command

from headgate.cli.main import app
from headgate.runtime.service import GRACE_SECONDS, OVERTIME_SECONDS
from tests.deploy import service_settings
from tests.deploy.service_settings import SERVICES
from tests.house.tree import ROOT
from tests.kafka_broker import TESTED_VERSION

Document = dict[str, Any]

JOBS = frozenset({"topics", "keys"})
"""Services that run once and end. They have no health check, and others wait for their success."""

WRITES_ITS_ROOT = frozenset({"kafka"})

NOBODYS = "headgate.invalid/"
"""The registry in the names of our own images. By RFC 2606 no one can own a name that ends in .invalid."""
OFFICIAL = frozenset({"apache/kafka", "redis", "prom/prometheus", "grafana/grafana"})
"""Images of other projects, by names that these projects own."""

DECLARED_VOLUMES = {
    "apache/kafka": {"/etc/kafka/secrets", "/var/lib/kafka/data", "/mnt/shared/config"},
    "redis": {"/data"},
    "prom/prometheus": {"/prometheus"},
    "grafana/grafana": set[str](),
}
"""The volumes that images of other projects declare. Each one that is not mounted becomes a volume without a name."""

MADE_BY_MAKE_UP = frozenset({"./repositories"})
BUILD_ARGUMENTS = ("BASE", "PIP_INDEX_URL")

EXACT_TAG = re.compile(r"[\w./-]+:v?\d+\.\d+\.\d+[\w.-]*|[\w./-]+(:[\w.-]+)?@sha256:[0-9a-f]{64}")
LOOPBACK = re.compile(r"127\.0\.0\.1:\d+:\d+")
SECONDS = re.compile(r"(\d+)s")
REDIS_NETWORK = "view"
DRAIN_SECONDS = GRACE_SECONDS + OVERTIME_SECONDS

PERSISTENT = ("artifacts", "kafka", "keys", "work")


def images_are_pinned(document: Document) -> Iterator[str]:
    for name, service in document["services"].items():
        if not EXACT_TAG.fullmatch(service["image"]):
            yield f"{name}: {service['image']} is neither an exact tag nor a digest"


def images_cannot_be_a_strangers(document: Document) -> Iterator[str]:
    for name, service in document["services"].items():
        image = service["image"]
        if not image.startswith(NOBODYS) and image.partition(":")[0] not in OFFICIAL:
            yield f"{name}: anybody may own {image}"


def every_service_has_a_health_check(document: Document) -> Iterator[str]:
    for name, service in document["services"].items():
        if name not in JOBS and not service.get("healthcheck", {}).get("test"):
            yield f"{name} has no health check"
        if name in JOBS and service["restart"] != "no":
            yield f"{name} would run again"


def dependencies_wait_for_what_can_be_waited_for(document: Document) -> Iterator[str]:
    for name, service in document["services"].items():
        for other, how in service.get("depends_on", {}).items():
            wanted = "service_completed_successfully" if other in JOBS else "service_healthy"
            if other not in document["services"]:
                yield f"{name} waits for {other}, which is not there"
            elif how["condition"] != wanted:
                yield f"{name} waits for {other} by {how['condition']}, not {wanted}"
            if other in SERVICES:
                yield f"{name} waits for {other}: no service of Headgate waits for another"


def nothing_has_rights(document: Document) -> Iterator[str]:
    for name, service in document["services"].items():
        if service.get("read_only") is not (name not in WRITES_ITS_ROOT):
            yield f"{name}: read_only is {service.get('read_only')}"
        if service.get("cap_drop") != ["ALL"] or service.get("cap_add"):
            yield f"{name} keeps capabilities"
        if service.get("security_opt") != ["no-new-privileges:true"]:
            yield f"{name} may gain privileges"
        for forbidden in ("privileged", "network_mode", "pid", "ipc", "devices"):
            if forbidden in service:
                yield f"{name} has {forbidden}"
        if not service.get("mem_limit") or not service.get("pids_limit"):
            yield f"{name} has no limit of memory or processes"


def ports_are_on_the_loopback(document: Document) -> Iterator[str]:
    for name, service in document["services"].items():
        for port in service.get("ports", []):
            if not LOOPBACK.fullmatch(str(port)):
                yield f"{name} publishes {port}"


def networks_are_private(document: Document) -> Iterator[str]:
    for name in ("backplane", REDIS_NETWORK):
        if not document["networks"][name].get("internal"):
            yield f"the network {name} reaches outside"
    for name, service in document["services"].items():
        if REDIS_NETWORK in service["networks"] and name not in ("registry", "redis"):
            yield f"{name} reaches Redis, which asks for no password"
        if name == "redis" and service["networks"] != [REDIS_NETWORK]:
            yield f"Redis asks for no password and is on {service['networks']}"
        if "doors" in service["networks"] and not service.get("ports"):
            yield f"{name} is on the network doors and publishes no port"


def what_is_mounted_exists(document: Document) -> Iterator[str]:
    for name, service in document["services"].items():
        for volume in service.get("volumes", []):
            source = volume["source"] if isinstance(volume, dict) else volume.rpartition(":/")[0]
            folder = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", source)
            if folder.startswith("."):
                if folder not in MADE_BY_MAKE_UP and not (ROOT / folder).exists():
                    yield f"{name} mounts {folder}, which is not there"
            elif folder not in document["volumes"]:
                yield f"{name} mounts the volume {folder}, which is not declared"


def no_volume_is_without_a_name(document: Document) -> Iterator[str]:
    for name, service in document["services"].items():
        mounted = {path.partition(":")[0] for path in service.get("tmpfs", [])}
        for volume in service.get("volumes", []):
            mounted.add(volume["target"] if isinstance(volume, dict) else volume.split(":")[1])
        declared = DECLARED_VOLUMES.get(service["image"].partition(":")[0], set())
        yield from (f"{name}: {path} becomes a volume without a name" for path in sorted(declared - mounted))


def what_must_outlive_a_restart_is_on_a_named_volume(document: Document) -> Iterator[str]:
    for name in PERSISTENT:
        if name not in document["volumes"]:
            yield f"there is no volume {name}"


def only_the_registry_sees_the_signing_key(document: Document) -> Iterator[str]:
    for name, service in document["services"].items():
        for volume in service.get("volumes", []):
            whole = isinstance(volume, str) and volume.startswith("keys:")
            part = volume["volume"].get("subpath", "") if _is_keys(volume) else "trusted"
            if (whole and name != "keys") or (part not in ("trusted", "encryption", name)):
                yield f"{name} sees keys that are not its own"


def _is_keys(volume: object) -> bool:
    return isinstance(volume, dict) and volume.get("source") == "keys"


def settings_are_known_and_complete(document: Document) -> Iterator[str]:
    for service in SERVICES:
        yield from service_settings.problems(service, document["services"][service].get("environment", {}))


def jobs_run_commands_that_there_are(document: Document) -> Iterator[str]:
    for job in sorted(JOBS):
        program, *words = document["services"][job]["entrypoint"]
        if program != "headgate" or _command(words) is None:
            yield f"{job} runs {program} {' '.join(words)}, which is no command"


def _command(words: list[str]) -> object:
    found: Any = get_command(app)
    for word in words:
        commands = getattr(found, "commands", None)
        if commands is None:  # the other words are the command's arguments
            break
        found = commands.get(word)
    return found


def the_grace_is_longer_than_the_drain(document: Document) -> Iterator[str]:
    for service in SERVICES:
        grace = SECONDS.fullmatch(document["services"][service].get("stop_grace_period", "10s"))
        if not grace or int(grace[1]) <= DRAIN_SECONDS:
            yield f"{service} is killed while it drains"


def every_image_is_built_by_the_one_recipe(document: Document) -> Iterator[str]:
    version = re.search(r'^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    for service in SERVICES:
        found = document["services"][service]
        arguments = [f"SERVICE={service}", *BUILD_ARGUMENTS, *(["COMPUTE"] if service == "trainer" else [])]
        build = {"context": ".", "dockerfile": "services/Dockerfile", "args": arguments}
        if found.get("build") != build:
            yield f"{service} is built by {found.get('build')}"
        if not version or found["image"] != f"{NOBODYS}{service}:{version[1]}":
            yield f"{service} is {found['image']}, not this version"


def kafka_is_what_the_tests_run_on(document: Document) -> Iterator[str]:
    _, _, version = document["services"]["kafka"]["image"].partition(":")
    if version != TESTED_VERSION:
        yield f"Kafka is {version}, the tests run on {TESTED_VERSION}"


RULES: tuple[Callable[[Document], Iterator[str]], ...] = (
    images_are_pinned,
    images_cannot_be_a_strangers,
    every_service_has_a_health_check,
    dependencies_wait_for_what_can_be_waited_for,
    nothing_has_rights,
    ports_are_on_the_loopback,
    networks_are_private,
    what_is_mounted_exists,
    no_volume_is_without_a_name,
    what_must_outlive_a_restart_is_on_a_named_volume,
    only_the_registry_sees_the_signing_key,
    settings_are_known_and_complete,
    jobs_run_commands_that_there_are,
    the_grace_is_longer_than_the_drain,
    every_image_is_built_by_the_one_recipe,
    kafka_is_what_the_tests_run_on,
)
