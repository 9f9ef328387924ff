"""Reads a file over HTTPS or HTTP. Every address on the way, also that of a redirect, lies on the operator's list.

The standard library's client is used, because obstore follows redirects to any host.
"""

import http.client
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import quote, urljoin, urlsplit

from headgate.downloads.credentials import credentials_of
from headgate.downloads.faults import Interrupted, Refused
from headgate.downloads.internet import connected
from headgate.downloads.places import PORTS, Places, address_of, shown
from headgate.downloads.source import CHUNK_BYTES, Head

READ_SECONDS = 30.0
"""How long a server may send nothing before the connection counts as lost."""
MAX_REDIRECTS = 5
MAX_EXPLANATION_BYTES = 4096
REDIRECTS = (301, 302, 303, 307, 308)
DENIED = (401, 403)
GONE = (404, 410)
TEMPORARY = (408, 425, 429)
CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
CODE = re.compile(rb"<Code>(\w+)</Code>")
USER_AGENT = "headgate"


@dataclass(frozen=True, slots=True)
class Request:
    """A URL that may be asked. `trusted` is true for one that the operator's own setting led to.

    `headers` are sent to its host alone.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    trusted: bool = False


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file on a web server. `request` makes the request anew for each try, because a signed one ages.

    `credentials` is the operator's file of credentials, or empty. `advice` is for a denied access.
    """

    name: str
    request: Callable[[], Request]
    places: Places
    credentials: str = ""
    advice: str = "the operator's file HEADGATE_GIT_CREDENTIALS has the credentials of each host"

    def parts(self, start: int) -> Iterator[Head | bytes]:
        """A Head and then the bytes. Raises Refused and Interrupted."""
        try:
            yield from self._parts(start)
        except ssl.SSLCertVerificationError as error:
            raise Refused(f"{self.name}: the server's certificate is not trusted: {error.verify_message}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = str(error) or type(error).__name__
            raise Interrupted(f"{self.name}: the connection was lost: {reason}") from error

    def _parts(self, start: int) -> Iterator[Head | bytes]:
        request = self.request()
        for _ in range(MAX_REDIRECTS + 1):
            with closing(self._connection(request)) as connection:
                connection.request("GET", target(request.url), headers=self._headers(request, start))
                with closing(connection.getresponse()) as response:
                    if response.status not in REDIRECTS:
                        yield from self._content(response, start)
                        return
                    request = self._redirected(request, response)
        raise Refused(f"{self.name}: the server redirects more than {MAX_REDIRECTS} times")

    def _connection(self, request: Request) -> http.client.HTTPConnection:
        if not request.trusted:
            self.places.of(request.url)
        parts = urlsplit(request.url)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port or PORTS[parts.scheme])
        plain = connected(connection.host, connection.port)
        plain.settimeout(READ_SECONDS)
        connection.sock = plain
        if parts.scheme == "https":
            # A socket that was wrapped closes the plain one, also when the handshake fails.
            connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=connection.host)
        return connection

    def _headers(self, request: Request, start: int) -> dict[str, str]:
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **request.headers}
        parts = urlsplit(request.url)
        found = None if request.trusted else credentials_of(self.credentials, parts.scheme, host_of(request.url))
        if found and "authorization" not in {name.lower() for name in headers}:
            headers["Authorization"] = found.basic()
        return headers | ({"Range": f"bytes={start}-"} if start else {})

    def _redirected(self, request: Request, response: http.client.HTTPResponse) -> Request:
        there = urljoin(request.url, response.headers.get("Location", ""))
        self.places.of(there, f"{self.name} redirects to another place: ")
        return Request(there, request.headers if host_of(there) == host_of(request.url) else {})

    def _content(self, response: http.client.HTTPResponse, start: int) -> Iterator[Head | bytes]:
        if response.status not in (200, 206):
            raise self._fault(response)
        length = response.headers.get("Content-Length", "")
        begin = 0
        if response.status == 206:
            found = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != start:
                raise Refused(f"{self.name}: the server answers another range than was asked for")
            begin = start
        yield Head(begin, begin + int(length) if length.isdecimal() else None)
        while chunk := response.read(CHUNK_BYTES):
            yield chunk

    def _fault(self, response: http.client.HTTPResponse) -> Refused | Interrupted:
        status = f"{response.status} {response.reason}".strip()
        code = CODE.search(response.read(MAX_EXPLANATION_BYTES))
        said = f"{status}, {code[1].decode()}" if code else status
        if response.status in GONE:
            return Refused(f"{self.name} does not exist ({said}). Upload the file, or name another one")
        if response.status in DENIED:
            return Refused(f"{self.name}: access is denied ({said}); {self.advice}")
        if response.status in TEMPORARY or response.status >= 500:
            return Interrupted(f"{self.name}: the server answers {said}")
        return Refused(f"{self.name}: the server answers {said}")


def target(url: str) -> str:
    """What stands in the first line of the request."""
    parts = urlsplit(url)
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    return f"{path}?{parts.query}" if parts.query else path


def host_of(url: str) -> str:
    """The host with its port as a place has it."""
    return address_of(url).host


def web_file(url: str, places: Places, credentials: str = "") -> WebFile:
    """A file by its URL."""
    return WebFile(shown(url), lambda: Request(url), places, credentials)
