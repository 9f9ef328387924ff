"""python -m services.gateway.edge"""

import os

from headgate.runtime.service import run
from headgate.runtime.settings import from_env
from services.gateway.edge.app import build
from services.gateway.edge.settings import PREFIX, Settings

if __name__ == "__main__":
    run(lambda: build(from_env(Settings, os.environ, PREFIX)), "edge")
