"""Which repositories a record may name, and how the address of one is written."""

import re

from headgate.domain.credentials import CREDENTIALS_RULE, holds_credentials
from headgate.domain.refusal import INVALID, Refused, invalid

MAX_REPOSITORY_CHARACTERS = 4_096
REPOSITORY_URL = re.compile(r"(https?|ssh|file)://|[\w.-]+@[\w.-]+:", re.ASCII)
"""The start of a URL from which the trainer fetches. Anything else must be an absolute path."""


def bad_repository(repository: str) -> Refused | None:
    """The refusal of a repository that a record must not name. It does not show what it found."""
    if len(repository) > MAX_REPOSITORY_CHARACTERS:
        return invalid("repository", "too long", f"a repository has at most {MAX_REPOSITORY_CHARACTERS} characters")
    if holds_credentials(repository):
        return Refused(INVALID, CREDENTIALS_RULE, f"repository: {CREDENTIALS_RULE}", "repository")
    return None
