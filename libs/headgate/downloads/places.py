"""The places from which the operator allows downloads: hosts, buckets, or a part of one. Pure rules."""

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

from headgate.domain.address import PORT_RULE, has_real_port
from headgate.domain.credentials import holds_credentials, without_credentials
from headgate.downloads.faults import Refused

WEB = ("https", "http")
BUCKETS = ("s3", "gs", "az")
PORTS = {"https": 443, "http": 80}
MAX_PLACES = 100
MAX_URL_CHARACTERS = 4_096
OPTIONS = ("endpoint", "region", "anonymous")
"""What a place of a bucket may say after a question mark."""
EXPECTED = "expected https://host/folder, s3://bucket/folder, gs://bucket or az://container"
SEPARATORS = re.compile(r"[\s,]+")
UNSAFE = re.compile(r"[\x00-\x20\x7f\\]")


@dataclass(frozen=True, slots=True)
class Address:
    """A URL in parts. `host` has the port of a web address; `path` has no escapes and begins with a slash."""

    scheme: str
    host: str
    path: str

    def lies_below(self, other: "Address") -> bool:
        folder = other.path.rstrip("/")
        same_host = (self.scheme, self.host) == (other.scheme, other.host)
        return same_host and (self.path.rstrip("/") == folder or self.path.startswith(f"{folder}/"))


@dataclass(frozen=True, slots=True)
class Place:
    """What lies below `address` may be downloaded. The rest says how a bucket is reached."""

    address: Address
    endpoint: str = ""
    region: str = ""
    anonymous: bool = False


@dataclass(frozen=True, slots=True)
class Places:
    """All places that the operator allows. `setting` is the name of the variable that lists them."""

    listed: tuple[Place, ...] = ()
    setting: str = "HEADGATE_DATA_PLACES"

    def of(self, url: str, because: str = "") -> Place:
        """The place in which the URL lies. Raises Refused; `because` says how we came to this URL."""
        address = address_of(url)
        found = [place for place in self.listed if address.lies_below(place.address)]
        if not found:
            where = f"{address.scheme}://{address.host}"
            refused = f"{where}{address.path}" if self._has_others_of(address) else where
            rule = f"{self.setting} {self._has_instead_of(address)}"
            raise Refused(f"{because}{refused} is not allowed by the operator of the trainer: {rule}")
        return max(found, key=lambda place: len(place.address.path))

    def _has_others_of(self, address: Address) -> bool:
        return any((each.address.scheme, each.address.host) == (address.scheme, address.host) for each in self.listed)

    def _has_instead_of(self, address: Address) -> str:
        """Which places are allowed and what to do. Their paths are not shown: they may be those of other teams."""
        if self._has_others_of(address):
            return "lists other folders there. Move the file to one of them, or ask the operator to add this one"
        names = sorted({f"{place.address.scheme}://{place.address.host}" for place in self.listed})
        listed = f"lists {', '.join(names)}. Move the file there, or ask" if names else "lists no place. Ask"
        return f"{listed} the operator to add its place"


def places_of(text: str, setting: str = "HEADGATE_DATA_PLACES") -> Places:
    """The places in a text that separates them by spaces or commas. Raises ValueError with every fault."""
    entries = [entry for entry in SEPARATORS.split(text) if entry]
    if len(entries) > MAX_PLACES:
        raise ValueError(f"{len(entries)} places; the limit is {MAX_PLACES}")
    found, faults = [], []
    for entry in entries:
        try:
            found.append(place_of(entry))
        except ValueError as error:
            faults.append(str(error))
    if faults:
        raise ValueError("; ".join(faults))
    return Places(tuple(found), setting)


def place_of(entry: str) -> Place:
    """One place. Raises ValueError."""
    plain, question, query = entry.partition("?")
    try:
        address = address_of(plain)
    except Refused as refused:
        raise ValueError(f"{without_credentials(plain)}: {refused}") from refused
    options = dict(parse_qsl(query, keep_blank_values=True))
    known = OPTIONS if address.scheme in BUCKETS else ()
    if unknown := sorted(options.keys() - set(known)) or (["?"] if question and not options else []):
        allowed = f"after the ? {', '.join(OPTIONS)} are known" if known else "only a bucket has options after a ?"
        raise ValueError(f"{plain}: {', '.join(unknown)} is no option; {allowed}")
    if options.get("anonymous", "true") != "true":
        raise ValueError(f"{plain}: anonymous is true or left out")
    if options.get("endpoint", "http://").partition("://")[0] not in WEB:
        raise ValueError(f"{plain}: endpoint: expected a URL such as https://s3.example.com")
    if not has_real_port(options.get("endpoint", "")):
        raise ValueError(f"{plain}: endpoint: {PORT_RULE}")
    return Place(address, options.get("endpoint", ""), options.get("region", ""), "anonymous" in options)


def address_of(url: str) -> Address:
    """The parts of a URL. Raises Refused for one that names no place, or names it in a way that can be misread."""
    if holds_credentials(url):
        raise Refused("a URL must not hold a user name or a password")
    if len(url) > MAX_URL_CHARACTERS or UNSAFE.search(url):
        raise Refused(f"expected a URL of at most {MAX_URL_CHARACTERS} characters, with %20 for a space")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Refused(f"it is no URL: {error}") from error
    if port == 0:
        raise Refused(PORT_RULE)
    if parts.scheme not in WEB + BUCKETS or not host or not parts.netloc.isascii():
        raise Refused(EXPECTED)
    if parts.fragment or (parts.scheme in BUCKETS and parts.query):
        raise Refused("in the path of a URL, ? is written as %3F and # as %23")
    require_plain_path(parts.path)
    # A bucket's name may have capital letters, a host's does not.
    name = f"{_bracketed(host)}:{port or PORTS[parts.scheme]}" if parts.scheme in WEB else parts.netloc
    return Address(parts.scheme, name.removesuffix(f":{PORTS.get(parts.scheme)}"), unquote(parts.path) or "/")


def require_plain_path(path: str) -> None:
    """Raises Refused for a path with . or .. in it, also when it is escaped: servers read these differently."""
    while (plain := unquote(path)) != path:
        path = plain
    if UNSAFE.search(path.replace(" ", "")) or any(part in (".", "..") for part in path.split("/")):
        raise Refused("a path must not have the parts . and .., a backslash or a control character")


def shown(url: str) -> str:
    """The URL without what may be secret in it."""
    return without_credentials(url.partition("?")[0].partition("#")[0])


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
