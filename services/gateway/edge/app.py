"""Puts the parts of a device together: the device, and the servers for local callers, which listen on loopback only."""

import logging
import threading
import time
from collections.abc import Iterator

from headgate.client.tls import ClientTls, ClientTlsUnusable, client_tls
from headgate.runtime.deadline import Deadline
from headgate.runtime.observability.metric import GATEWAY
from headgate.runtime.observability.metrics import Reading
from headgate.runtime.operations import Operations
from headgate.runtime.settings import SettingsError
from services.gateway import readings
from services.gateway.edge.device import Device, Identity
from services.gateway.edge.local_callers import local_callers
from services.gateway.edge.settings import Settings, addresses_of, models_of
from services.gateway.loading.trial import Trials
from services.gateway.resident import give_back
from services.gateway.rest.server import RestServer
from services.gateway.server import InferenceServer
from services.gateway.servicer import InferenceServicer

logger = logging.getLogger(__name__)

HOST = "127.0.0.1"
SHARE_OF_CALLS = 0.7
LINK_UP, UNREPORTED = "headgate_edge_link_up", "headgate_edge_totals_unreported"
LONGEST_SILENCE_SECONDS = 1e9
"""Shown while no gateway has answered since the start."""


class EdgeDevice:
    """The running device. Its ports open at once; it is ready once it has tried to load what must answer now."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.name, self.grace_seconds = settings.device, settings.grace_seconds
        self._operations = Operations(GATEWAY, HOST, settings.metrics_port)
        metrics = self._operations.metrics
        metrics.gauge("headgate_gateway_info").labels(settings.environment).set(1)
        self._ready, self._draining = threading.Event(), threading.Event()
        self._trials = Trials()
        self._device = Device(
            Identity(settings.environment, settings.device, models_of(settings.models)),
            addresses_of(settings.source),
            settings.state,
            settings.keys,
            settings.disk_mib << 20,
            metrics,
            self._trials,
            self._changed,
            self._draining.is_set,
            tls=_tls(settings),
            token_file=settings.token_file,
            encryption_key=settings.encryption_key,
        )
        inference = self._device.inference
        self._callers = callers = local_callers(settings.caller_token, settings.environment, metrics)
        servicer = InferenceServicer(inference)
        self._server = InferenceServer(servicer, HOST, settings.port, metrics, callers=callers)
        self._rest = RestServer(inference, self._server.loop, HOST, settings.rest_port, metrics, callers=callers)
        metrics.read_at_scrape((*readings.NAMES, LINK_UP, UNREPORTED), self._readings)

    def start(self) -> int:
        """Opens the ports, serves what is on the disk, and begins to follow. Returns the gRPC port."""
        port = self._server.start()
        rest_port = self._rest.start()
        logger.info("REST is served", extra={"port": rest_port})
        self._device.start()
        self._operations.watch(self._device, self._server)
        return port

    def stop(self, grace_seconds: float) -> None:
        """Finishes all accepted requests, and writes what was counted to the disk."""
        deadline = Deadline(grace_seconds)
        self._draining.set()
        self._operations.drain()
        self._server.drain()
        self._rest.drain()
        self._rest.stop(deadline.left(SHARE_OF_CALLS / 2))
        self._server.stop(deadline.left(SHARE_OF_CALLS))
        self._device.close()
        if self._callers is not None:
            self._callers.close()
        self._trials.close()
        self._operations.close()

    def _changed(self) -> None:
        give_back()
        if not self._ready.is_set() and self._device.follower.loads_finished():
            self._ready.set()
            self._server.set_ready()
            self._operations.ready()

    def _readings(self) -> Iterator[Reading]:
        silent_seconds = min(time.monotonic() - self._device.link.heard_at, LONGEST_SILENCE_SECONDS)
        yield from readings.readings(self._device.follower.table, silent_seconds, self._device.follower.memory())
        yield Reading(LINK_UP, (), int(self._device.link.is_up))
        yield Reading(UNREPORTED, (), self._device.unreported)


def _tls(settings: Settings) -> ClientTls | None:
    try:
        return client_tls(settings.tls_ca, settings.tls_client_certificate, settings.tls_client_key)
    except ClientTlsUnusable as error:
        raise SettingsError([f"--tls-ca and --tls-client-*: {error}"]) from error


def build(settings: Settings) -> EdgeDevice:
    """A device that has not started yet."""
    return EdgeDevice(settings)
