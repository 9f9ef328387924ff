"""The services of this process, built over one place."""

from collections.abc import Callable
from typing import Any

from services.deployer import app as deployer
from services.deployer import settings as deployer_settings
from services.evaluator import app as evaluator
from services.evaluator import settings as evaluator_settings
from services.gateway import app as gateway
from services.gateway import settings as gateway_settings
from services.registry import app as registry
from services.registry import settings as registry_settings
from services.trainer import app as trainer
from services.trainer import settings as trainer_settings
from tests.drain.processes import Place


def build(service: str, place: Place, metrics_port: int) -> Any:
    """One that has not started yet."""
    log: dict[str, Any] = {"log": place.url, "port": 0, "metrics_port": metrics_port}
    files = {"artifacts": (place.folder / "artifacts").as_uri(), "keys": place.folder / "keys"}
    builds: dict[str, Callable[[], Any]] = {
        "registry": lambda: registry.build(registry_settings.Settings(**log)),
        "trainer": lambda: trainer.build(trainer_settings.Settings(**log, **files, work=place.folder / "work")),
        "evaluator": lambda: evaluator.build(evaluator_settings.Settings(**log, **files)),
        "gateway": lambda: gateway.build(gateway_settings.Settings(**log, **files)),
        "deployer": lambda: deployer.build(deployer_settings.Settings(**log)),
    }
    return builds[service]()
