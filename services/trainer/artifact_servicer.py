"""ArtifactService: the files of versions that are imported."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc

from headgate.lifecycle.follower import LifecycleFold
from headgate.runtime.rpc.access_check import readable_in, visibility_in
from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from headgate.watchdog import Watchdog
from services.trainer.purges import names_blob
from services.trainer.uploads import Uploads, no_blob

UPLOAD_SECONDS = 1800.0
"""The longest that one upload may take."""
SILENCE_SECONDS = 60.0
"""The longest between two messages of an upload. A client that has gone would hold its place."""


class ArtifactServicer(worker_services_grpc.ArtifactServiceServicer):
    def __init__(
        self, uploads: Uploads, fold: LifecycleFold | None = None, silence_seconds: float = SILENCE_SECONDS
    ) -> None:
        """Who may not publish every model learns of a blob when a version of a model that it may publish names it."""
        self._uploads = uploads
        self._fold = fold
        self._silence_seconds = silence_seconds

    def GetBlob(self, request: worker_services.GetBlobRequest, context: grpc.ServicerContext) -> worker_services.Blob:
        if not visibility_in(context).is_whole and not self._names(request.sha256, readable_in(context)):
            raise no_blob(request.sha256)
        return self._uploads.find(request.sha256)

    def _names(self, sha256: str, may_read: Callable[[str], bool]) -> bool:
        if self._fold is None:
            return False
        with self._fold.lock:
            return names_blob(self._fold.models, sha256, may_read)

    def UploadBlob(
        self, request_iterator: Iterator[worker_services.UploadBlobRequest], context: grpc.ServicerContext
    ) -> worker_services.Blob:
        with ended_after(context, UPLOAD_SECONDS), Watchdog(self._silence_seconds, context.cancel) as watchdog:
            return self._uploads.take(watched(request_iterator, watchdog))

    def FetchBlob(
        self, request: worker_services.FetchBlobRequest, context: grpc.ServicerContext
    ) -> worker_services.Blob:
        return self._uploads.fetch(request, ended(context))


def watched(
    requests: Iterator[worker_services.UploadBlobRequest], watchdog: Watchdog
) -> Iterator[worker_services.UploadBlobRequest]:
    for request in requests:
        watchdog.beat()
        yield request


def ended(context: grpc.ServicerContext) -> threading.Event:
    """Is set when the call ends, also because its caller has left or the trainer stops."""
    event = threading.Event()
    if not context.add_callback(event.set):
        event.set()
    return event


@contextmanager
def ended_after(context: grpc.ServicerContext, seconds: float) -> Iterator[None]:
    """Cancels the call after this time, so that a caller who sends nothing holds no thread for ever."""
    timer = threading.Timer(seconds, context.cancel)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
