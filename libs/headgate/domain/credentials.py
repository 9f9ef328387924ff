"""Finds users, passwords and tokens in texts and URLs. The log keeps every record, so they must not come into one."""

import re
import unicodedata
from urllib.parse import unquote

from headgate.domain.known_tokens import MASK, without_tokens

CREDENTIALS_RULE = (
    "a repository or data URL must not hold a user name or a password, because the log keeps it for ever;"
    " the trainer reads them from the file that HEADGATE_GIT_CREDENTIALS names"
)
TEXT_RULE = (
    "a text must not hold a password, a token or a user name in a URL, because the log keeps it for ever:"
    " write it without them, for example https://git.example.com/fraud"
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
_PASSWORD_WITH_QUOTES = re.compile(r"""://[^\s/?#@:\["'<>`]*:(?!\d{0,5}(?:[/?#\s"'`,;)\]}>]|$))[^\s@]{0,256}@""")
"""A password of any characters. Only asked of one text at a time: in a line of JSON a quote ends the text."""
_PASSWORD_WITH_BLANKS = re.compile(
    r"""(:/{2,})[^\s/?#@:\["'\\<>`]*:(?!\d{0,5}(?:[/?#\s"'`,;:)\]}>]|$))[^/\r\n@"'\\]{1,256}@(?=[\w\[])"""
)
"""A password with blanks that are not escaped. Prose after a URL with a port, a path or nothing else is none."""
_BACKSLASHES = re.compile(r"""\\(?!["'])""")
_SLASHES = re.compile(r"\b((?:https?|ftps?|wss?|ssh):)/*(?=[^/\s])", re.IGNORECASE)
_ESCAPED_SPACE = re.compile(r"%(?:[01][0-9A-F]|20|7F)", re.IGNORECASE)
"""A space or control character that is escaped ends no address."""
_WORD = re.compile(r"\S+")
MAX_UNESCAPES = 3
"""How often an address is unescaped in search of a secret. Each program that passes it on may have escaped it once."""
_PASSWORD_WITHOUT_SCHEME = re.compile(r"[^\s/:@]+:/?[^\s/@]+@")
_PASSWORD_OPTION = re.compile(r"""(passw(?:or)?d=|(?<![A-Za-z])pwd=(?!/))(?:[^&\s"'\\]|\\[^"'])+""", re.IGNORECASE)
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

    Passwords stand before a host, or in an option such as sasl_plain_password or access_token. Tokens of well-known
    services are masked wherever they stand.
    """
    text = without_tokens(text)
    if not any(sign in text for sign in "@=%"):  # most texts, and every command is looked at
        return text
    masked = _SECRET_IN_QUERY.sub(r"\1***", _PASSWORD_OPTION.sub(r"\1***", text))
    masked = _UNESCAPED_PASSWORD.sub(r"\1***@", _IN_TEXT.sub(_masked, masked))
    masked = _PASSWORD_WITH_BLANKS.sub(r"\1***@", masked)
    return _WITHOUT_SLASHES.sub(r"\1***@", masked)


def hides_nothing(text: str) -> bool:
    """Whether the text may be recorded: it shows no credentials, however a program may read its addresses."""
    if without_credentials(text) != text:
        return False
    read = as_addresses_are_read(text)
    return not _PASSWORD_WITH_QUOTES.search(read) and (read == text or without_credentials(read) == read)


def as_it_may_be_kept(text: str) -> str:
    """The text of a program, such as a commit message, as the log may keep it.

    Credentials are masked as in `without_credentials`. A word that still hides some is masked whole.
    """
    masked = without_credentials(text)
    if hides_nothing(masked):
        return masked
    kept = _WORD.sub(lambda word: word[0] if hides_nothing(word[0]) else MASK, masked)
    return kept if hides_nothing(kept) else MASK


def as_addresses_are_read(text: str) -> str:
    """The text as the most lenient program reads an address in it.

    Such a program takes a backslash for a slash, any number of slashes for two, and a wide letter for the plain one.
    It drops characters without a width, and unescapes. The source is the URL standard of WHATWG.
    """
    if not text.isascii():
        shown = (each for each in unicodedata.normalize("NFKC", text) if unicodedata.category(each) != "Cf")
        text = "".join(shown)
    for _ in range(MAX_UNESCAPES if "%" in text else 0):
        text = unquote(_ESCAPED_SPACE.sub("_", text))
    if "\\" in text:
        text = _BACKSLASHES.sub("/", text)
    return _SLASHES.sub(r"\1//", text) if ":" in text else text


def _masked(found: re.Match[str]) -> str:
    scheme, slashes, user = found[1] or "", found[2], found[3]
    return found[0] if _is_ssh_user(scheme, user) else f"{scheme}{slashes}***{found[4]}"


def _is_ssh_user(scheme: str, user: str) -> bool:
    return scheme.lower().endswith("ssh") and ":" not in user
