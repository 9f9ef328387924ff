"""python -m services.gateway"""

import os

from headgate.runtime.service import run
from headgate.runtime.settings import from_env
from services.gateway.app import build
from services.gateway.settings import Settings

if __name__ == "__main__":
    run(lambda: build(from_env(Settings, os.environ)), "gateway")
