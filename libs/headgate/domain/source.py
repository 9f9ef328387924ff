"""Which commit of which repository a version may come from."""

from headgate.domain.refusal import Refused, invalid
from headgate.domain.repository import bad_repository

HASH_LENGTHS = (40, 64)
_HEX = frozenset("0123456789abcdef")


def bad_source(repository: str, commit: str) -> Refused | None:
    """The refusal of a version from this place; None when it may come from there."""
    if wrong := bad_repository(repository):
        return wrong
    commit = commit.lower()
    if len(commit) not in HASH_LENGTHS or not _HEX.issuperset(commit):
        return invalid("commit", commit, "a commit is a full hash of 40 or 64 hex digits")
    return None if repository else invalid("repository", "", "a version needs the repository of its commit")
