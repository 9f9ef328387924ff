"""The link of a device to the gateways of its environment. The device always dials; nobody dials the device.

Every call may fail at any time. The link then pauses, longer each time, and tries the next address.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import grpc

from headgate.artifacts.blobs import ArtifactCorrupt, ArtifactMissing, StoreError, StoreUnavailable
from headgate.client.bearer import BearerToken, TokenUnusable, read_token
from headgate.client.tls import ClientTls, ClientTlsUnusable
from headgate.inference_parameters import MAX_MESSAGE_BYTES
from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import edge_service_pb2_grpc as edge_grpc

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 60.0
CALL_SECONDS = 30.0
DOWNLOAD_SECONDS = 900.0
"""How long one try to download a file may take. The next one goes on where it ended."""
MAX_TURNS = 20
"""How often a download asks while too many other devices read, in about a quarter of an hour."""
KEEPALIVE_MS = 20_000
KEEPALIVE_TIMEOUT_MS = 10_000
JOIN_SECONDS = 2.0

OPTIONS = (
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.use_local_subchannel_pool", 1),
)


ARTIFACT_ERRORS: Mapping[grpc.StatusCode, type[StoreError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: ArtifactCorrupt,
    grpc.StatusCode.DATA_LOSS: ArtifactMissing,
}
"""What says that the file itself is wrong: what the device has of it, or what the gateway's store has."""


class LinkDown(Exception):
    """No gateway takes the call now. The message says why."""


def pause_seconds(failures: int, chance: float) -> float:
    """The pause after so many failures in a row. `chance`, from 0 to 1, spreads devices that failed together. Pure."""
    longest = min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 30), LONGEST_PAUSE_SECONDS)
    return longest * (0.5 + chance / 2)


class Link:
    """Follows the routes in a thread of its own. Every method may be called on any thread."""

    def __init__(
        self,
        addresses: Sequence[str],
        request: Callable[[], edge.WatchRoutesRequest],
        on_routes: Callable[[edge.EdgeRoutes, str], None],
        chance: Callable[[], float] = random.random,
        tls: ClientTls | None = None,
        token_file: Path | None = None,
    ) -> None:
        """With `tls` it calls with TLS, and with a `token_file` it sends the token.

        The files are read at each try, so that they can be renewed.
        """
        self._tls, self._token_file = tls, token_file
        self._addresses = addresses
        self._request = request
        self._on_routes = on_routes
        self._chance = chance
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._stub: edge_grpc.EdgeServiceStub | None = None
        self._watch: grpc.Call | None = None
        self._broken_at = 0.0
        self.failures = 0
        """Tries in a row that reached no gateway."""
        self.heard_at = float("-inf")
        """When the log last answered the gateway, as far as this device knows, on the monotonic clock."""
        self._thread = threading.Thread(target=self._run, name="edge-link", daemon=True)

    def start(self) -> None:
        """Starts to follow the routes."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def is_up(self) -> bool:
        """Whether a gateway has answered and the watch is not broken."""
        return self._stub is not None

    def close(self) -> None:
        """Ends the thread and all calls."""
        self._closing.set()
        self._end_watch()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)

    def check(self) -> None:
        """Ends a watch that gives no sign of life. Call it now and then."""
        if self._stub is not None and time.monotonic() > self._broken_at:
            logger.warning("the gateway gives no sign of life")
            self._end_watch()

    def download(self, sha256: str, offset: int) -> Iterator[tuple[bytes, int]]:
        """Parts of the file from the offset on, each with the size of the whole file.

        Raises StoreUnavailable, ArtifactCorrupt when the file has no such offset, and ArtifactMissing when the store of
        the gateway lacks it.
        """
        with self._lock:
            stub = self._stub
        if stub is None:
            raise StoreUnavailable("it is not on this device, and there is no link to a gateway")
        watch = self._request()
        request = edge.ReadArtifactRequest(
            environment=watch.environment, device=watch.device, sha256=sha256, offset=offset
        )
        try:
            yield from self._parts(stub, request)
        except grpc.RpcError as error:
            kind = ARTIFACT_ERRORS.get(error.code(), StoreUnavailable)
            raise kind(f"the gateway does not send it: {_reason(error)}") from error
        except ValueError as error:  # the channel was closed meanwhile
            raise StoreUnavailable("the link was lost") from error

    def _parts(self, stub: edge_grpc.EdgeServiceStub, request: edge.ReadArtifactRequest) -> Iterator[tuple[bytes, int]]:
        """The parts. While too many devices read at once, it waits for its turn."""
        for turn in range(1, MAX_TURNS + 1):
            try:
                for response in stub.ReadArtifact(request, timeout=DOWNLOAD_SECONDS):
                    yield response.part, response.size_bytes
                return
            except grpc.RpcError as error:  # it comes before the first part
                if error.code() != grpc.StatusCode.RESOURCE_EXHAUSTED or turn == MAX_TURNS or self._closing.is_set():
                    raise
            self._closing.wait(pause_seconds(turn, self._chance()))

    def report(self, request: edge.ReportDeviceRequest) -> edge.ReportDeviceResponse:
        """Sends a report. Raises LinkDown."""
        with self._lock:
            stub = self._stub
        if stub is None:
            raise LinkDown("there is no link to a gateway")
        try:
            response: edge.ReportDeviceResponse = stub.ReportDevice(request, timeout=CALL_SECONDS)
        except grpc.RpcError as error:
            raise LinkDown(_reason(error)) from error
        except ValueError as error:  # the channel was closed meanwhile
            raise LinkDown("the link was lost") from error
        return response

    def _run(self) -> None:
        turn = 0
        while not self._closing.is_set():
            address = self._addresses[turn % len(self._addresses)]
            try:
                self._follow(address)
            except grpc.RpcError as error:
                if not self._closing.is_set():
                    self._note_failure(address, _reason(error))
            except (ClientTlsUnusable, TokenUnusable) as error:
                self._note_failure(address, str(error))
            turn += 1
            self._closing.wait(pause_seconds(max(1, self.failures), self._chance()))

    def _follow(self, address: str) -> None:
        with self._channel(address) as channel:
            stub = edge_grpc.EdgeServiceStub(channel)
            watch = stub.WatchRoutes(self._request())
            with self._lock:
                self._watch = watch
            try:
                for response in watch:
                    self._hear(response, stub, address)
            finally:
                with self._lock:
                    self._stub = self._watch = None

    def _channel(self, address: str) -> grpc.Channel:
        """Raises ClientTlsUnusable and TokenUnusable."""
        bearer = [BearerToken(read_token(self._token_file))] if self._token_file else []
        if self._tls is None:
            channel = grpc.insecure_channel(address, OPTIONS)
        else:
            channel = grpc.secure_channel(address, self._tls.credentials(), OPTIONS)
        return grpc.intercept_channel(channel, *bearer)

    def _hear(self, response: edge.WatchRoutesResponse, stub: edge_grpc.EdgeServiceStub, address: str) -> None:
        now = time.monotonic()
        if not self.is_up:
            logger.info("the link is up", extra={"address": address})
        self.failures = 0
        with self._lock:
            self._stub = stub
            self._broken_at = now + response.next_within_ms / 1000
        if response.HasField("routes"):
            self._on_routes(response.routes, response.resume_token)
        # After the routes: those of before must not hold a candidate by a sign of life that came with new ones.
        self.heard_at = now - response.log_silent_ms / 1000

    def _note_failure(self, address: str, reason: str) -> None:
        """Logs the first failure in a row, and then one of each hour's worth of pauses."""
        self.failures += 1
        if self.failures == 1 or self.failures % int(3600 / LONGEST_PAUSE_SECONDS) == 0:
            where = {"address": address, "failures": self.failures}
            logger.warning("no link; serving what is on this device: %s", reason, extra=where)

    def _end_watch(self) -> None:
        with self._lock:
            watch = self._watch
        if watch is not None:
            with suppress(grpc.RpcError):
                watch.cancel()


def _reason(error: grpc.RpcError) -> str:
    return f"{error.code().name}: {error.details()}"
