"""python -m services.registry"""

import os

from headgate.runtime.service import run
from headgate.runtime.settings import from_env
from services.registry.app import build
from services.registry.settings import Settings

if __name__ == "__main__":
    run(lambda: build(from_env(Settings, os.environ)), "registry")
