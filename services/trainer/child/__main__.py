"""Starts the training process.

python -P -m services.trainer.child JOB_DIRECTORY
"""

import gc
import sys


def main() -> int:
    """Imports torch with the collector off: what it would look through again and again is no garbage."""
    gc.disable()
    from services.trainer.child import process

    return process.main()


if __name__ == "__main__":
    sys.exit(main())
