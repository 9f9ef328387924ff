"""What the registry's tests share: their limit on a wait, and small values."""

from functools import partial

from tests import waiting

REPOSITORY = "https://git.example/fraud"
WAIT_SECONDS = 20.0


until = partial(waiting.until, seconds=WAIT_SECONDS)


def commit(number: int) -> str:
    return f"{number:040x}"
