"""Runs a command whose whole process group ends with the trainer, also when the trainer is killed.

python -P -m services.trainer.attempt.launch TRAINER_PID COMMAND...
"""

import os
import signal
import subprocess
import sys

from headgate.runtime.parent import end_with_parent

EXIT_NOT_FOUND = 127
SIGNALLED = 128


def main() -> int:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    signal.signal(signal.SIGTERM, lambda _number, _frame: os.killpg(os.getpid(), signal.SIGKILL))
    end_with_parent(parent)
    try:
        code = subprocess.Popen(command).wait()
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return EXIT_NOT_FOUND
    return code if code >= 0 else SIGNALLED - code


if __name__ == "__main__":
    sys.exit(main())
