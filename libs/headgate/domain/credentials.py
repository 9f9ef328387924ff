"""Finds user names and passwords in URLs. The log keeps every record, so they must not come into one."""

import re

CREDENTIALS_RULE = (
    "a repository or data URL must not hold a user name or a password, because the log keeps it for ever;"
    " the trainer reads them from the file that HEADGATE_GIT_CREDENTIALS names"
)
TEXT_RULE = (
    "a text must not hold a user name, a password or a token in a URL, because the log keeps it for ever:"
    " write the URL without them, for example https://git.example.com/fraud"
)

_IN_TEXT = re.compile(
    r"""(ssh)?(:/{2,}|(?<=http):/|(?<=https):/|(?<![:/])/{2,}(?![\s/@]))([^\s/?#"'\\]*)(@|%40)""", re.IGNORECASE
)
"""An address with a user, with or without its scheme. What stands before %40 is no host either."""
_UNESCAPED_PASSWORD = re.compile(
    r"""(:?(?<!/)//)(?:[^\s/?#@\["'\\]*:(?!\d{0,5}(?:[/?#\s]|$))[^\s@"']{0,256}|[^\s/?#@"'\\]*[#][^\s/@"']*)@"""
)
"""A password with a slash, a question mark or a hash sign that is not escaped. What follows a colon is then no port."""
_WITHOUT_SLASHES = re.compile(
    r"""(?<![^\s"'(<=,;])(?!mailto:)((?:https?|ssh|git|ftps?|file):/?)?[^\s/:@"'\\]{1,200}:[^\s/@"'\\]{1,200}@"""
    r"""(?!sha\d+:)(?=[\w\[][^\s/:]{0,255}[:/]\S)""",
    re.IGNORECASE,
)
"""user:password@host:path, and a URL whose slashes were forgotten. An image with its digest is none of these."""
_PASSWORD_WITHOUT_SCHEME = re.compile(r"[^\s/:@]+:/?[^\s/@]+@")
_PASSWORD_OPTION = re.compile(r"""(password=)(?:[^&\s"'\\]|\\[^"'])+""", re.IGNORECASE)
"""The value ends before a quote, also before one that JSON has escaped: a line of JSON stays one."""
_SECRET_IN_QUERY = re.compile(
    r"""((?:[?&;#]|%3F|%26|%3B|%23)(?:[\w.%-]{0,40}[_.-])?"""
    r"""(?:\w{0,20}token|secret|signature|credential|api_?key|accesskeyid|key|sig|auth)(?:=|%3D))"""
    r"""[^&\s"'#;\\]+""",
    re.IGNORECASE,
)


def holds_credentials(url: str) -> bool:
    """Whether the URL has a user name or a password. A user name alone is fine for SSH: its secret is a key."""
    scheme, separator, rest = url.partition("://")
    if not separator and url.startswith("//"):
        rest = url.lstrip("/")
    elif not separator:
        return bool(_PASSWORD_WITHOUT_SCHEME.match(url))
    user, at, _ = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")
    if not at:
        return bool(_UNESCAPED_PASSWORD.match(f"://{rest}"))
    return not _is_ssh_user(scheme, user)


def without_credentials(text: str) -> str:
    """The text with *** in place of the users and passwords in its addresses, so that it may be shown.

    Passwords stand before a host, or in an option such as sasl_plain_password or access_token.
    """
    if not any(sign in text for sign in "@=%"):  # most texts, and every command is looked at
        return text
    masked = _SECRET_IN_QUERY.sub(r"\1***", _PASSWORD_OPTION.sub(r"\1***", text))
    masked = _UNESCAPED_PASSWORD.sub(r"\1***@", _IN_TEXT.sub(_masked, masked))
    return _WITHOUT_SLASHES.sub(r"\1***@", masked)


def hides_nothing(text: str) -> bool:
    """Whether the text may be recorded, because it has nothing that would not be shown."""
    return without_credentials(text) == text


def _masked(found: re.Match[str]) -> str:
    scheme, slashes, user = found[1] or "", found[2], found[3]
    return found[0] if _is_ssh_user(scheme, user) else f"{scheme}{slashes}***{found[4]}"


def _is_ssh_user(scheme: str, user: str) -> bool:
    return scheme.lower().endswith("ssh") and ":" not in user
