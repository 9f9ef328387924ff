"""Finds user names and passwords in URLs. The log keeps every record, so they must not come into one."""

import re

from headgate.v1 import commands_pb2 as commands

CREDENTIALS_RULE = (
    "a repository or data URL must not hold a user name or a password, because the log keeps it for ever;"
    " the trainer reads them from the file that HEADGATE_GIT_CREDENTIALS names"
)

_IN_TEXT = re.compile(r"(ssh)?://([^\s/?#\"'\\]*)@", re.IGNORECASE)
_UNESCAPED_PASSWORD = re.compile(
    r"""://(?:[^\s/?#@\["'\\]*:(?!\d{0,5}(?:[/?#\s]|$))[^\s@"']*|[^\s/?#@"'\\]*[#][^\s/@"']*)@"""
)
"""A password with a slash, a question mark or a hash sign that is not escaped. What follows a colon is then no port."""
_PASSWORD_WITHOUT_SCHEME = re.compile(r"[^\s/:@]+:[^\s/@]+@")
_PASSWORD_OPTION = re.compile(r"(password=)[^&\s\"']*")


def holds_credentials(url: str) -> bool:
    """Whether the URL has a user name or a password. A user name alone is fine for SSH: its secret is a key."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return bool(_PASSWORD_WITHOUT_SCHEME.match(url))
    user, at, _ = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")
    if not at:
        return bool(_UNESCAPED_PASSWORD.match(f"://{rest}"))
    return not _is_ssh_user(scheme, user)


def without_credentials(text: str) -> str:
    """The text with *** in place of the users and passwords in its addresses, so that it may be shown.

    Passwords stand before a host, or in an option such as sasl_plain_password.
    """
    masked = _IN_TEXT.sub(_masked, _PASSWORD_OPTION.sub(r"\1***", text))
    return _UNESCAPED_PASSWORD.sub("://***@", masked)


def command_without_credentials(command: commands.Command) -> commands.Command:
    """A copy of the command in which no text of its payload holds credentials."""
    copy = commands.Command()
    copy.CopyFrom(command)
    payload = getattr(copy, copy.WhichOneof("command") or "", None)
    for field, value in payload.ListFields() if payload is not None else ():
        if isinstance(value, str):
            setattr(payload, field.name, without_credentials(value))
    return copy


def _masked(found: re.Match[str]) -> str:
    scheme, user = found[1] or "", found[2]
    return found[0] if _is_ssh_user(scheme, user) else f"{scheme}://***@"


def _is_ssh_user(scheme: str, user: str) -> bool:
    return scheme.lower().endswith("ssh") and ":" not in user
