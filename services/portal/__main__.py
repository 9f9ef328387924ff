"""python -m services.portal"""

import os

from headgate.runtime.service import run
from headgate.runtime.settings import from_env
from services.portal.app import build
from services.portal.settings import Settings

if __name__ == "__main__":
    run(lambda: build(from_env(Settings, os.environ)), "portal")
