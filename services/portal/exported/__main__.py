"""python -m services.portal.exported"""

import os

from headgate.runtime.service import run
from headgate.runtime.settings import from_env
from services.portal.exported.app import PREFIX, Settings, build

if __name__ == "__main__":
    run(lambda: build(from_env(Settings, os.environ, PREFIX)), "console")
