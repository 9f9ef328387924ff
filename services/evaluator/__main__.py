"""python -m services.evaluator"""

import os

from headgate.runtime.service import run
from headgate.runtime.settings import from_env
from services.evaluator.app import build
from services.evaluator.settings import Settings

if __name__ == "__main__":
    run(lambda: build(from_env(Settings, os.environ)), "evaluator")
