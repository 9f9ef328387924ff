"""python -m services.deployer"""

import os

from headgate.runtime.service import run
from headgate.runtime.settings import from_env
from services.deployer.app import build
from services.deployer.settings import Settings

if __name__ == "__main__":
    run(lambda: build(from_env(Settings, os.environ)), "deployer")
