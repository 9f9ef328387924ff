"""The trainer as a process: environment -> build -> run."""

import os

from headgate.runtime.service import run
from headgate.runtime.settings import from_env
from services.trainer.app import build
from services.trainer.settings import Settings

if __name__ == "__main__":
    run(lambda: build(from_env(Settings, os.environ)), "trainer")
