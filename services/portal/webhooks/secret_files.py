"""The secrets of webhooks: files in a folder of the operator. A fact has the name of a file alone."""

from pathlib import Path

from headgate.domain.names import is_name

MAX_BYTES = 4_096
MAX_SECRETS = 4
"""How many lines of a file count: while a secret is replaced, the old and the new one hold."""
LEAST_CHARACTERS = 16


class SecretFiles:
    """Reads a file anew for each delivery, so that a new secret counts at once."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def find(self, name: str) -> list[str]:
        """The secrets of this name, one a line; none for a name without a file. A short one is no secret."""
        if self._folder is None or not is_name(name):
            return []
        try:
            with (self._folder / name).open("rb") as opened:
                text = opened.read(MAX_BYTES).decode()
        except (OSError, UnicodeDecodeError):
            return []
        lines = [line.strip() for line in text.splitlines()]
        return [line for line in lines if len(line) >= LEAST_CHARACTERS][:MAX_SECRETS]
