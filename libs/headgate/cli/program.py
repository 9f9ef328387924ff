"""Runs a module as `python -m` does: python -m headgate.cli.program MODULE ARGUMENTS

But Ctrl-C during its imports ends it with 130 and without a traceback, as it ends the command line.
"""

import runpy
import signal
import sys

from headgate.runtime.interrupts import end_at_once

if __name__ == "__main__":
    signal.signal(signal.SIGINT, end_at_once)
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
