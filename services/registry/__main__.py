"""python -m services.registry"""

import os

from headgate.runtime.one_core import pin_to_one_core
from headgate.runtime.service import run
from headgate.runtime.settings import from_env
from services.registry.app import Registry, build
from services.registry.settings import Settings


def start() -> Registry:
    """Pins the process to one core if asked, then builds the registry.

    The pinning is not in app.py, because it concerns the whole process.
    """
    settings = from_env(Settings, os.environ)
    if settings.one_core:
        pin_to_one_core(f"{settings.log} {settings.name}")
    return build(settings)


if __name__ == "__main__":
    run(start, "registry")
