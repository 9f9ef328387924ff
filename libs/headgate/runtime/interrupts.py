"""What Ctrl-C does to a program on a terminal: it ends with 130, and never with a traceback.

Imports as little as can be, so that a program can call it before its long imports.
"""

import os
import signal
import sys

TYPE_CHECKING = False
"""As that of `typing`, whose import would take as long as all others here."""
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

INTERRUPTED = 130
"""The exit code after Ctrl-C, as a shell counts it: 128 and the number of the signal."""
SHOW_CURSOR = b"\x1b[?25h"


def end_at_once(_number: int = 0, _frame: "FrameType | None" = None) -> "NoReturn":
    """Ends the process as it is, after giving a terminal its cursor back."""
    if sys.stderr is not None and sys.stderr.isatty():
        os.write(sys.stderr.fileno(), SHOW_CURSOR)
    os._exit(INTERRUPTED)


def end_in_order(_number: int, _frame: "FrameType | None") -> "NoReturn":
    """Lets the program end in order. A second Ctrl-C does not wait for that. Raises KeyboardInterrupt."""
    signal.signal(signal.SIGINT, end_at_once)
    raise KeyboardInterrupt


def end_or_report(unraisable: "sys.UnraisableHookArgs") -> None:
    """Python drops what is raised in a destructor or a callback, and prints it: an interrupt would be lost there."""
    if isinstance(unraisable.exc_value, KeyboardInterrupt):
        end_at_once()
    sys.__unraisablehook__(unraisable)
