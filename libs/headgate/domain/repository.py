"""Which addresses of repositories and of data a record may name.

Every entry asks here, and the trainer asks before it uses one. The log keeps an address for ever, and anyone may send
one: only the known forms pass, and no refusal shows the address.
"""

import re

from headgate.domain.address import MAX_PORT, PORT_RULE, has_real_port
from headgate.domain.credentials import CREDENTIALS_RULE, as_addresses_are_read, hides_nothing, holds_credentials
from headgate.domain.refusal import INVALID, Refused

MAX_REPOSITORY_CHARACTERS = 4_096
LENGTH_RULE = f"a repository has at most {MAX_REPOSITORY_CHARACTERS} characters"
FORM_RULE = (
    "expected an absolute path as the trainer sees it, an https, http or ssh URL with a host,"
    " user@host:path, or a file URL with three slashes where every trainer has the repository;"
    " a path begins with one slash, because two begin a host"
)
PRINTABLE_RULE = "an address has no control characters, and no others that cannot be printed"
QUERY_RULE = (
    "a repository URL has no query and no fragment, because tokens stand there and the log keeps it for ever:"
    " leave out the ? or # and what follows"
)
DATA_FORM_RULE = (
    "a path in the repository, or a URL with a host or bucket and a path: https://, http://, s3://, gs:// or az://,"
    " or where every trainer has the file, a file URL with three slashes; two slashes without such a scheme are no path"
)
DOWNLOAD_FORM_RULE = "a URL with a host or bucket and a path: https://, http://, s3://, gs:// or az://"
DOWNLOAD_LENGTH_RULE = f"a URL of at most {MAX_REPOSITORY_CHARACTERS} characters"
DATA_PORT_RULE = f"a port from 1 to {MAX_PORT}"
DATA_RULE = (
    "no user name, no password, no ? and no # in it, because the log keeps it for ever: the trainer reads user names"
    " and passwords from the file that HEADGATE_GIT_CREDENTIALS names, also for data; a file URL has %3F and %23"
)

_HOST = r"(?:\w[\w.-]*|\[[0-9A-Fa-f:.]+\])"
_USER = r"\w[\w.-]*@"
_PORT = r"(?::\d{1,5})?"
_FORM = re.compile(
    rf"/(?!/).*|https?://{_HOST}{_PORT}(?:/\S*)?|ssh://(?:{_USER})?{_HOST}{_PORT}/\S+|file:///.+|{_USER}{_HOST}:(?!\S*:\S*@)[^\s-]\S*"
)
_DATA = re.compile(rf"file:///.*|https?://{_HOST}{_PORT}/\S+|(?:s3|gs|az)://\w[\w.-]*/\S+")
_SECRET_IN_PATH = re.compile(
    r"[:/;,](?:[\w.-]{0,40}[_.-])?(?:\w{0,20}token|secret|password|signature|credential|api_?key|sig|auth)=",
    re.IGNORECASE,
)
_URL = re.compile(r"(?!/)[^/]*:")
_SCHEME_OR_HOST = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")


def broken_rule(repository: str) -> str:
    """The rule that the address of a repository breaks; empty for one from which the trainer can fetch."""
    if len(repository) > MAX_REPOSITORY_CHARACTERS:
        return LENGTH_RULE
    if not repository.isprintable():
        return PRINTABLE_RULE
    if holds_credentials(repository):
        return CREDENTIALS_RULE
    if _URL.match(repository) and not _is_plain(as_addresses_are_read(repository)):
        return QUERY_RULE
    if not hides_nothing(repository) or _names_secret(repository):
        return CREDENTIALS_RULE
    if not _FORM.fullmatch(repository):
        return FORM_RULE
    return "" if has_real_port(repository) else PORT_RULE


def broken_data_rule(uri: str) -> str:
    """The rule that the address of a data file breaks, as what is expected; empty for one that a record may name."""
    if not uri.isprintable():
        return PRINTABLE_RULE
    if holds_credentials(uri) or not _is_plain(uri) or not hides_nothing(uri):
        return DATA_RULE
    if _SCHEME_OR_HOST.match(uri) and not _DATA.fullmatch(uri):
        return DATA_FORM_RULE
    return "" if has_real_port(uri) else DATA_PORT_RULE


def broken_download_rule(url: str) -> str:
    """The rule that the URL of a file breaks that is downloaded, as what is expected; empty for a sound one."""
    if len(url) > MAX_REPOSITORY_CHARACTERS:
        return DOWNLOAD_LENGTH_RULE
    if rule := broken_data_rule(url):
        return DOWNLOAD_FORM_RULE if rule == DATA_FORM_RULE else rule
    return DOWNLOAD_FORM_RULE if url.startswith("file:") or not _DATA.fullmatch(url) else ""


def bad_repository(repository: str) -> Refused | None:
    """The refusal of a repository that a record must not name. It does not show what it found. None is fine."""
    rule = broken_rule(repository) if repository else ""
    return Refused(INVALID, rule, f"repository: {rule}", "repository") if rule else None


def _names_secret(repository: str) -> bool:
    return not repository.startswith("/") and bool(_SECRET_IN_PATH.search(as_addresses_are_read(repository)))


def _is_plain(address: str) -> bool:
    return "?" not in address and "#" not in address
