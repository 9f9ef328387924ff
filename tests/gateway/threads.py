"""Several threads at once, so that a missing lock shows."""

import threading

from tests.waiting import PATIENCE_SECONDS


def run_together(works):
    """Runs all works, each in a thread of its own, and raises the first error."""
    start, errors = threading.Barrier(len(works)), []

    def run(work):
        try:
            start.wait(PATIENCE_SECONDS)
            work()
        except Exception as error:  # noqa: BLE001  # raised again below
            errors.append(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
