"""Reads a file over HTTPS or HTTP. Every address on the way, also that of a redirect, lies on the operator's list.

The standard library's client is used, because obstore follows redirects to any host.
"""

import http.client
import re
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
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


ADVICE = "the operator's file HEADGATE_GIT_CREDENTIALS has the credentials of each host"


@dataclass(frozen=True, slots=True)
class Request:
    """A URL that may be asked. `trusted` is true for one that the operator's own setting led to.

    `headers` are sent to its host alone. With a `body` it is a POST.
    """

    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    trusted: bool = False
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Web:
    """What may be asked, and who we are there: the operator's list of places, and file of credentials or no file."""

    places: Places
    credentials: str = ""

    @contextmanager
    def answer(self, request: Request, start: int = 0) -> Iterator[http.client.HTTPResponse]:
        """The answer to one request, whatever its status is. Raises Refused, OSError and HTTPException."""
        if not request.trusted:
            self.places.of(request.url)
        with closing(connection_for(request.url)) as connection:
            method = "GET" if request.body is None else "POST"
            connection.request(method, target(request.url), request.body, self._headers(request, start))
            with closing(connection.getresponse()) as response:
                yield response

    def _headers(self, request: Request, start: int) -> dict[str, str]:
        headers = {"User-Agent": USER_AGENT, "Accept-Encoding": "identity", **request.headers}
        address = None if request.trusted else address_of(request.url)
        found = credentials_of(self.credentials, address.scheme, address.host) if address else None
        if found and "authorization" not in {name.lower() for name in headers}:
            headers["Authorization"] = found.basic()
        return headers | ({"Range": f"bytes={start}-"} if start else {})


@dataclass(frozen=True, slots=True)
class WebFile:
    """A file on a web server. `request` makes the request anew for each try, because a signed one ages.

    `advice` is for a denied access.
    """

    name: str
    request: Callable[[], Request]
    web: Web
    advice: str = ADVICE

    def parts(self, start: int) -> Iterator[Head | bytes]:
        """A Head and then the bytes. Raises Refused and Interrupted."""
        with translated(self.name):
            request = self.request()
            for _ in range(MAX_REDIRECTS + 1):
                with self.web.answer(request, start) as response:
                    if response.status not in REDIRECTS:
                        yield from self._content(response, start)
                        return
                    request = self._redirected(request, response)
            raise Refused(
                f"{self.name}: the server redirects more than {MAX_REDIRECTS} times. Name the place where the file is"
            )

    def _redirected(self, request: Request, response: http.client.HTTPResponse) -> Request:
        there = urljoin(request.url, response.headers.get("Location", ""))
        self.web.places.of(there, f"{self.name} redirects to another place: ")
        return Request(there, request.headers if address_of(there).host == address_of(request.url).host else {})

    def _content(self, response: http.client.HTTPResponse, start: int) -> Iterator[Head | bytes]:
        if response.status not in (200, 206):
            raise fault_of(response, self.name, self.advice)
        length = response.headers.get("Content-Length", "")
        begin = 0
        if response.status == 206:
            found = CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            if not found or int(found[1]) != start:
                raise Refused(f"{self.name}: the server answers another range than was asked for. Name another server")
            begin = start
        yield Head(begin, begin + int(length) if length.isdecimal() else None)
        while chunk := response.read(CHUNK_BYTES):
            yield chunk


def connection_for(url: str) -> http.client.HTTPConnection:
    """An open connection to the host of the URL. Raises Refused, Interrupted and OSError."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or PORTS[parts.scheme])
    plain = connected(connection.host, connection.port)
    plain.settimeout(READ_SECONDS)
    connection.sock = plain
    if parts.scheme == "https":
        # A socket that was wrapped closes the plain one, also when the handshake fails.
        connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=connection.host)
    return connection


@contextmanager
def translated(name: str) -> Iterator[None]:
    """Raises Refused for a server that cannot be trusted, and Interrupted for a lost connection."""
    try:
        yield
    except ssl.SSLCertVerificationError as error:
        raise Refused(f"{name}: the server's certificate is not trusted: {error.verify_message}") from error
    except ValueError as error:
        raise Refused(f"{name}: the request cannot be made: {error}") from error
    except (OSError, http.client.HTTPException) as error:
        raise Interrupted(f"{name}: the connection was lost: {str(error) or type(error).__name__}") from error


def fault_of(response: http.client.HTTPResponse, name: str, advice: str = ADVICE) -> Refused | Interrupted:
    """Why a server does not give what was asked for."""
    status = f"{response.status} {response.reason}".strip()
    code = CODE.search(response.read(MAX_EXPLANATION_BYTES))
    reason = f"{status}, {code[1].decode()}" if code else status
    if response.status in GONE:
        return Refused(f"{name} does not exist ({reason}). Upload the file, or name another one")
    if response.status in DENIED:
        return Refused(f"{name}: access is denied ({reason}); {advice}")
    if response.status in TEMPORARY or response.status >= 500:
        return Interrupted(f"{name}: the server answers {reason}")
    return Refused(f"{name}: the server answers {reason}")


def target(url: str) -> str:
    """What stands in the first line of the request."""
    parts = urlsplit(url)
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    return f"{path}?{parts.query}" if parts.query else path


def web_file(url: str, web: Web) -> WebFile:
    """A file by its URL."""
    return WebFile(shown(url), lambda: Request(url), web)
