"""Downloads a file of a version that is imported from a URL, by the operator's rules for data files."""

import threading
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from headgate.artifacts.foreign_models import HEAD_BYTES
from headgate.domain.names import SHA256
from headgate.domain.repository import broken_download_rule
from headgate.downloads.cache import Lease
from headgate.downloads.faults import Refused, Stopped
from headgate.downloads.open import source_of
from headgate.downloads.transfer import Advice, Ending, Patience, Wanted
from headgate.runtime.errors import RpcRefused
from headgate.v1 import worker_services_pb2 as worker_services
from services.trainer.attempt.remote_data import DataAccess

DOWNLOAD_SECONDS = 1740.0
"""The longest that one download may take: a minute less than `headgate version import` waits for it."""
OUTAGE_SECONDS = 60.0
"""How long a server may fail without a new byte. Somebody waits for the answer."""
ADVICE = Advice(large="Make it smaller", changed="Restore it, or give its digest with --sha256")


@dataclass(frozen=True, slots=True)
class Expected:
    """What such a file may be. `fault_of` says what is wrong with its first bytes; nothing when it is empty."""

    max_bytes: int
    fault_of: Callable[[bytes], str]


def downloaded(
    access: DataAccess, request: worker_services.FetchBlobRequest, expected: Expected, stop: threading.Event
) -> Lease:
    """The file in the trainer's cache; whoever gets it closes it. Raises RpcRefused."""
    url, sha256 = request.uri, request.sha256
    if rule := broken_download_rule(url):
        raise _wrong("uri", f"expected {rule}")
    if not SHA256.fullmatch(sha256):
        raise _wrong("sha256", "a download needs the SHA-256 of the file, in 64 hex digits")
    patience = Patience(min(access.seconds, DOWNLOAD_SECONDS), OUTAGE_SECONDS)
    wanted = Wanted(sha256, expected.max_bytes, advice=ADVICE)
    try:
        lease = access.cache.fetch(source_of(url, access.web), wanted, Ending(stop, patience))
    except Refused as refused:
        raise _wrong("uri", str(refused)) from refused
    except Stopped as stopped:
        raise RpcRefused(grpc.StatusCode.CANCELLED, "cancelled", str(stopped)) from stopped
    except OSError as error:
        rule = f"the trainer cannot keep the file in {access.cache.folder}: {error.strerror}. The operator mends this"
        raise RpcRefused(grpc.StatusCode.UNAVAILABLE, "cache-unavailable", rule) from error
    return _checked(lease, url, expected)


def _checked(lease: Lease, url: str, expected: Expected) -> Lease:
    """The same file. Raises RpcRefused when it is known to be something else, or is too large."""
    try:
        with lease.path.open("rb") as content:
            fault = expected.fault_of(content.read(HEAD_BYTES))
        size = lease.path.stat().st_size
        if fault:
            raise _wrong("uri", f"{url}: {fault}")
        if not 0 < size <= expected.max_bytes:
            raise _wrong("uri", f"{url} has {size} bytes, and such a file has 1 to {expected.max_bytes}")
    except BaseException:
        lease.close()
        raise
    return lease


def _wrong(field: str, rule: str) -> RpcRefused:
    return RpcRefused(grpc.StatusCode.INVALID_ARGUMENT, "invalid-download", rule, field)
