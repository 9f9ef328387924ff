"""Settings from the environment."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from headgate.domain.address import HOST_RULE
from headgate.domain.credentials import without_credentials
from headgate.lifecycle.artifact_setting import artifact_store
from headgate.runtime.redis_address import ADDRESS_RULE
from headgate.runtime.settings import SettingsError, from_env
from services.deployer.settings import Settings as Deployer
from services.evaluator.settings import Settings as Evaluator
from services.gateway.settings import Settings as Gateway
from services.registry import app as registry
from services.registry.settings import Settings as Registry
from services.trainer.settings import Settings as Trainer


@dataclass(frozen=True, slots=True)
class Example:
    log: str
    port: int
    work: Path
    share: float = 0.5
    fsync: bool = True
    burst: int | None = None


def test_every_field_is_read_from_its_variable() -> None:
    environ = {"HEADGATE_LOG": "sqlite:x", "HEADGATE_PORT": "7400", "HEADGATE_WORK": "/w", "HEADGATE_FSYNC": "no"}
    assert from_env(Example, environ) == Example("sqlite:x", 7400, Path("/w"), 0.5, False)


def test_a_setting_that_may_be_absent_tells_0_from_nothing() -> None:
    environ = {"HEADGATE_LOG": "sqlite:x", "HEADGATE_PORT": "0", "HEADGATE_WORK": "/w"}
    assert from_env(Example, environ).burst is None
    assert from_env(Example, environ | {"HEADGATE_BURST": "0"}).burst == 0


@pytest.mark.parametrize("name", ["TESTS", "TRAINING", "EPOCH"])
def test_a_limit_of_0_seconds_for_work_is_refused_with_the_default(name: str) -> None:
    environ = {"HEADGATE_LOG": "sqlite:x", "HEADGATE_ARTIFACTS": "file:///a", "HEADGATE_KEYS": "/k"}
    variable = f"HEADGATE_{name}_SECONDS"
    with pytest.raises(SettingsError, match=rf"{variable}='0': expected more than 0; without this setting it is \d+"):
        from_env(Trainer, environ | {variable: "0"})
    assert from_env(Trainer, environ | {"HEADGATE_CHECKPOINT_SECONDS": "0"}).checkpoint_seconds == 0


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        from_env(Example, {"HEADGATE_PORT": "many", "HEADGATE_WORK": "/w", "HEADGATE_FSYNC": "perhaps"})
    assert caught.value.problems == [
        "HEADGATE_LOG is not set",
        "HEADGATE_PORT='many': expected a whole number",
        "HEADGATE_FSYNC='perhaps': expected true or false",
    ]


@pytest.mark.parametrize(
    ("variable", "text", "rule"),
    [
        ("HEADGATE_METRICS_PORT", "65536", "expected a port from 0 to 65535"),
        ("HEADGATE_METRICS_PORT", "-1", "expected a port from 0 to 65535"),
        ("HEADGATE_HOST", "127.0.0.1:99999", HOST_RULE),
        ("HEADGATE_HOST", "::1", HOST_RULE),
        ("HEADGATE_GRACE_SECONDS", "-0.5", "expected seconds from 0 to 1000000000"),
        ("HEADGATE_GRACE_SECONDS", "inf", "expected seconds from 0 to 1000000000"),
        ("HEADGATE_GRACE_SECONDS", "1e10", "expected seconds from 0 to 1000000000"),
        ("HEADGATE_GRACE_SECONDS", "nan", "expected seconds from 0 to 1000000000"),
    ],
)
def test_an_impossible_port_host_or_time_is_refused(variable: str, text: str, rule: str) -> None:
    with pytest.raises(SettingsError) as caught:
        from_env(Registry, {"HEADGATE_LOG": "sqlite:x", variable: text})
    assert caught.value.problems == [f"{variable}={text!r}: {rule}"]


@pytest.mark.parametrize(
    ("kind", "name", "text"),
    [
        (Gateway, "ADVERTISE", "gateway-0:99999"),
        *(
            (kind, *wrong)
            for kind in (Registry, Trainer, Evaluator, Deployer, Gateway)
            for wrong in (("PORT", "99999"), ("METRICS_PORT", "65536"), ("HOST", "127.0.0.1:7400"))
        ),
    ],
)
def test_every_service_refuses_a_port_and_a_host_that_cannot_be(kind: type[Any], name: str, text: str) -> None:
    environ = {"HEADGATE_LOG": "sqlite:x", "HEADGATE_ARTIFACTS": "file:///a", "HEADGATE_KEYS": "/k"}
    with pytest.raises(SettingsError) as caught:
        from_env(kind, environ | {f"HEADGATE_{name}": text})
    (problem,) = caught.value.problems
    assert problem.startswith(f"HEADGATE_{name}={text!r}: expected ")


@pytest.mark.parametrize("log", ["kafka://one:99999", "kafka://one:9092,two:0", "http://one:9092"])
def test_a_service_names_the_setting_of_an_address_of_the_log_that_cannot_be(log: str) -> None:
    with pytest.raises(SettingsError, match=r"^HEADGATE_LOG: "):
        registry.build(Registry(log=log))


@pytest.mark.parametrize("url", ["redis://one:99999/0", "rediss://one:0"])
def test_a_registry_names_the_setting_of_a_redis_with_a_port_that_cannot_be(url: str) -> None:
    with pytest.raises(SettingsError, match=r"^HEADGATE_REDIS=.* with a port from 1 to 65535"):
        from_env(Registry, {"HEADGATE_LOG": "sqlite:x", "HEADGATE_REDIS": url})


def test_a_service_names_the_setting_of_an_artifact_store_with_a_port_that_cannot_be() -> None:
    with pytest.raises(SettingsError, match=r"^HEADGATE_ARTIFACTS=.*: a port is from 1 to 65535"):
        artifact_store(Gateway(log="sqlite:x", keys=Path("/k"), artifacts="https://one:0/bucket"))


REQUIRED = {"HEADGATE_LOG": "sqlite:x", "HEADGATE_ARTIFACTS": "file:///a", "HEADGATE_KEYS": "/k"}
WRONG = {
    "HEADGATE_NAME": "x y",
    "HEADGATE_LOG": "kafka://one:99999",
    "HEADGATE_LOG_LEVEL": "loud",
    "HEADGATE_TRACES": "otel:4317",
    "HEADGATE_PORT": "99999",
    "HEADGATE_ARTIFACTS": "s3:/a",
    "HEADGATE_ENVIRONMENT": "NOPE!",
    "HEADGATE_ADVERTISE": "one:7404",
    "HEADGATE_REDIS": "redis://:secret@one:99999/0",
    "HEADGATE_RATE_PER_SECOND": "inf",
    "HEADGATE_RATE_BURST": "0",
    "HEADGATE_ONE_CORE": "maybe",
    "HEADGATE_DATA_PLACES": "https://u:secret@one/x",
    "HEADGATE_PACKAGE_INDEX": "ftp://u:secret@one/simple",
    "HEADGATE_TRAINING_SECONDS": "-1",
    "HEADGATE_PACKAGES_KEPT": "-1",
}


@pytest.mark.parametrize("kind", [Registry, Trainer, Evaluator, Deployer, Gateway])
def test_a_service_names_all_wrong_settings_at_once_and_no_secret(kind: type[Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        from_env(kind, REQUIRED | WRONG)
    named = {problem.partition("=")[0] for problem in caught.value.problems}
    assert named == {name for name in WRONG if name.removeprefix("HEADGATE_").lower() in kind.__dataclass_fields__}
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("name", ["Production", "NOPE!", "x y", "-x", "a" * 64])
def test_a_gateway_refuses_an_environment_that_cannot_exist(name: str) -> None:
    with pytest.raises(SettingsError, match=r"^HEADGATE_ENVIRONMENT=.*: a name has 1 to 63 characters"):
        from_env(Gateway, REQUIRED | {"HEADGATE_ENVIRONMENT": name})
    assert from_env(Gateway, REQUIRED | {"HEADGATE_ENVIRONMENT": "eu-1"}).environment == "eu-1"


@pytest.mark.parametrize("name", ["x y", "../x", "x/y", "\x1b[2J", "a" * 254])
def test_every_service_refuses_a_name_that_no_replica_can_have(name: str) -> None:
    for kind in (Registry, Trainer, Evaluator, Deployer, Gateway):
        with pytest.raises(SettingsError, match=r"^HEADGATE_NAME=.*: the name of a replica has 1 to 253 characters"):
            from_env(kind, REQUIRED | {"HEADGATE_NAME": name})
        assert from_env(kind, REQUIRED | {"HEADGATE_NAME": "Gateway-0.eu_1"}).name == "Gateway-0.eu_1"


def test_the_rule_of_a_redis_address_is_shown_as_it_is() -> None:
    assert without_credentials(ADDRESS_RULE) == ADDRESS_RULE


@pytest.mark.parametrize("text", ["-1", "0", "nan"])
def test_a_bound_that_must_be_above_0_says_so_for_every_other_number(text: str) -> None:
    with pytest.raises(SettingsError, match=r"expected more than 0; without this setting it is"):
        from_env(Trainer, REQUIRED | {"HEADGATE_PACKAGES_GIB": text})
