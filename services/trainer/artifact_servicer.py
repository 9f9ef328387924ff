"""ArtifactService: the files of versions that are imported."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from headgate.watchdog import Watchdog
from services.trainer.uploads import Uploads

UPLOAD_SECONDS = 1800.0
"""The longest that one upload may take."""
SILENCE_SECONDS = 60.0
"""The longest between two messages of an upload. A client that has gone would hold its place."""


class ArtifactServicer(worker_services_grpc.ArtifactServiceServicer):
    def __init__(self, uploads: Uploads, silence_seconds: float = SILENCE_SECONDS) -> None:
        self._uploads = uploads
        self._silence_seconds = silence_seconds

    def GetBlob(self, request: worker_services.GetBlobRequest, context: grpc.ServicerContext) -> worker_services.Blob:
        return self._uploads.find(request.sha256)

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
