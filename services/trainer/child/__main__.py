"""Starts the training process.

python -P -m services.trainer.child JOB_DIRECTORY
"""

import gc
import sys

from services.trainer.child.quiet_end import end_quietly


def main() -> int:
    """Imports torch with the collector off: what it would look through again and again is no garbage."""
    gc.disable()
    end_quietly()
    from services.trainer.child import process

    return process.main()


if __name__ == "__main__":
    sys.exit(main())
