"""Runs a command and then ends everything that it has started, in whatever way it was started.

python -P -m services.trainer.programs.launch TRAINER_PID CONFINEMENT DESCRIPTORS COMMAND...

The launcher is a subreaper: a descendant whose parent ends, in a session of its own or not, becomes its child. On
SIGTERM, which also comes when the trainer is killed, it ends the command. CONFINEMENT says what the command may do with
files; when it is empty, that is everything. DESCRIPTORS are the numbers of open files that the command inherits.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

from headgate.runtime.parent import end_with_parent, prctl

EXIT_NOT_FOUND = 127
SIGNALLED = 128
EXIT_NOT_ENDED = 126
"""Some descendants still live after END_SECONDS."""
END_SECONDS = 8.0
"""How long the launcher tries to end what the command has started."""
RESCAN_SECONDS = 0.02
PR_SET_CHILD_SUBREAPER = 36
AWAITED = (signal.SIGTERM, signal.SIGCHLD)


def main() -> int:
    parent, confinement, descriptors, command = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
    signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)
    adopt_orphans()
    end_with_parent(parent)
    confine = confinement_in(confinement)
    try:
        code = run(command, confine, [int(number) for number in descriptors.split()])
    except OSError as error:
        sys.stderr.write(f"{command[0]}: {error.strerror}\n")
        return EXIT_NOT_FOUND
    if end_descendants():
        return code
    sys.stderr.write(f"what {command[0]} has started does not end within {END_SECONDS:g} s\n")
    return EXIT_NOT_ENDED


def confinement_in(text: str) -> Callable[[], None]:
    """What confines the process that calls it as the text says. Raises OSError."""
    if not text:
        return lambda: None
    # Imported late: commands of git are not confined, and the import takes half of a launcher's start.
    from services.trainer.programs.confinement import confinement_of, enter, ruleset

    descriptor = ruleset(confinement_of(text))
    return lambda: None if descriptor is None else enter(descriptor)


def run(command: list[str], confine: Callable[[], None], descriptors: list[int]) -> int:
    """The exit code of the command, or that of SIGTERM when it came first. Raises OSError."""

    def prepare() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, AWAITED)
        confine()

    # A session of its own: what the command sends to its whole group does not reach the launcher.
    # The launcher has one thread, so code may run between the fork and the start of the command.
    process = subprocess.Popen(command, start_new_session=True, preexec_fn=prepare, pass_fds=descriptors)
    for number in descriptors:
        os.close(number)
    while signal.sigwait(AWAITED) != signal.SIGTERM:
        for pid, code in reaped():
            if pid == process.pid:
                if code in (-signal.SIGKILL, SIGNALLED + signal.SIGKILL):  # a jail answers the second
                    sys.stderr.write(f"{command[0]} was ended by SIGKILL, as when memory runs out\n")
                return code if code >= 0 else SIGNALLED - code
    return SIGNALLED + signal.SIGTERM


def adopt_orphans() -> None:
    if sys.platform == "linux":
        prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_descendants() -> bool:
    """Kills and reaps what still lives below this process. False when some of it does not end in END_SECONDS."""
    deadline = time.monotonic() + END_SECONDS
    while has_children():
        if time.monotonic() > deadline:
            return False
        for pid in descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        # What was killed ends one after the other. Only when that takes longer is something new looked for.
        while has_children() and signal.sigtimedwait([signal.SIGCHLD], RESCAN_SECONDS):
            list(reaped())
        list(reaped())
    return True


def reaped() -> Iterator[tuple[int, int]]:
    """Process and exit code of each child that has ended; the code is negative for a signal."""
    while has_children():
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def descendants(ancestor: int) -> list[int]:
    """The processes below this one, as they are now."""
    children: dict[int, list[int]] = {}
    for entry in filter(str.isdecimal, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/stat", "rb") as stat:
                parent = int(stat.read().rpartition(b")")[2].split()[1])
        except OSError:  # it has ended
            continue
        children.setdefault(parent, []).append(int(entry))
    found = list(children.get(ancestor, []))
    for pid in found:
        found.extend(children.get(pid, []))
    return found


if __name__ == "__main__":
    sys.exit(main())
