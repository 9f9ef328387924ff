"""Finds user names and passwords in URLs. The log keeps every record, so they must not come into one."""

import re

from headgate.domain.refusal import INVALID, Refused, invalid

MAX_REPOSITORY_CHARACTERS = 4_096
CREDENTIALS_RULE = (
    "a repository or data URL must not hold a user name or a password, because the log keeps it for ever;"
    " the trainer reads them from the file that HEADGATE_GIT_CREDENTIALS names"
)

_USER = re.compile(r"([a-z][a-z0-9+.-]*)://([^/?#]*)@", re.IGNORECASE)
_USER_IN_TEXT = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/?#\"'\\]*@", re.IGNORECASE)
_PASSWORD_OPTION = re.compile(r"(password=)[^&\s\"']*")
_PASSWORD_WITHOUT_SCHEME = re.compile(r"[^\s/:@]+:[^\s/@]+@")


def holds_credentials(url: str) -> bool:
    """Whether the URL has a user name or a password. A user name alone is fine for SSH: its secret is a key."""
    if found := _USER.search(url):
        return found[1].lower() not in ("ssh", "git+ssh") or ":" in found[2]
    return bool(_PASSWORD_WITHOUT_SCHEME.match(url))


def bad_repository(repository: str) -> Refused | None:
    """The refusal of a repository that a record must not name. It does not show what it found."""
    if len(repository) > MAX_REPOSITORY_CHARACTERS:
        return invalid("repository", "too long", f"a repository has at most {MAX_REPOSITORY_CHARACTERS} characters")
    if holds_credentials(repository):
        return Refused(INVALID, CREDENTIALS_RULE, f"repository: {CREDENTIALS_RULE}", "repository")
    return None


def without_credentials(text: str) -> str:
    """The text with *** in place of the users and passwords in its addresses, so that it may be shown.

    Passwords stand before a host, or in an option such as sasl_plain_password.
    """
    text = _PASSWORD_OPTION.sub(r"\1***", text)
    return _USER_IN_TEXT.sub(_mask, text)


def _mask(found: re.Match[str]) -> str:
    url = found[0]
    return f"{url.partition('://')[0]}://***@" if holds_credentials(url) else url
