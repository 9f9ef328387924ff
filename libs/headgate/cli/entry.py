"""Where the command `headgate` begins and ends. Ctrl-C ends it with 130 at any time, and never with a traceback."""

import signal
import sys

from headgate.runtime.interrupts import INTERRUPTED, end_at_once, end_in_order, end_or_report


def main() -> None:
    """Runs the command line and ends the process. Raises SystemExit."""
    signal.signal(signal.SIGINT, end_at_once)  # what has not begun needs no order at its end
    sys.unraisablehook = end_or_report
    code: str | int | None = INTERRUPTED
    try:
        # Imported here, because these imports take long enough for a Ctrl-C.
        from headgate.cli.main import main as run

        signal.signal(signal.SIGINT, end_in_order)
        run()
        code = 0
    except SystemExit as ended:
        code = ended.code
    except KeyboardInterrupt:
        pass
    # Threads and libraries may still end in order. A Ctrl-C from here on ends the process as it is.
    signal.signal(signal.SIGINT, end_at_once)
    sys.exit(code)
