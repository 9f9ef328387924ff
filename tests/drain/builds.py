"""Builds services in this process, on one installation."""

from collections.abc import Callable
from typing import Any

from services.deployer import app as deployer
from services.deployer import settings as deployer_settings
from services.evaluator import app as evaluator
from services.evaluator import settings as evaluator_settings
from services.gateway import app as gateway
from services.gateway import settings as gateway_settings
from services.portal import app as portal
from services.portal import settings as portal_settings
from services.registry import app as registry
from services.registry import settings as registry_settings
from services.trainer import app as trainer
from services.trainer import settings as trainer_settings
from tests.drain.processes import Installation


def build(service: str, installation: Installation, metrics_port: int) -> Any:
    """A service that has not started yet."""
    log: dict[str, Any] = {"log": installation.url, "port": 0, "metrics_port": metrics_port}
    files = {"artifacts": (installation.folder / "artifacts").as_uri(), "keys": installation.folder / "keys"}
    builds: dict[str, Callable[[], Any]] = {
        "registry": lambda: registry.build(registry_settings.Settings(**log, **files)),
        "trainer": lambda: trainer.build(trainer_settings.Settings(**log, **files, work=installation.folder / "work")),
        "evaluator": lambda: evaluator.build(evaluator_settings.Settings(**log, **files)),
        "gateway": lambda: gateway.build(gateway_settings.Settings(**log, **files)),
        "deployer": lambda: deployer.build(deployer_settings.Settings(**log)),
        "portal": lambda: portal.build(portal_settings.Settings(**log, console_port=0)),
    }
    return builds[service]()
