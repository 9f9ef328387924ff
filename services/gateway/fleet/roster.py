"""Remembers what each device has said last, and lists devices by name. Times come as arguments; no input and output."""

from bisect import bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice

from headgate.v1 import edge_service_pb2 as edge

MAX_DEVICES = 20_000
"""Devices that are remembered. Of more, the one that has been silent for longest is forgotten."""
FORGET_SECONDS = 7 * 86_400.0
"""A device that has been silent for so long is listed no more."""
MAX_MODELS = 50
"""Models of one device that are listed."""
MAX_REFUSED = 10
MAX_REASON_CHARACTERS = 300
PAGE_DEVICES, MAX_PAGE_DEVICES = 100, 1_000
MAX_READ = 2_000
"""Devices that are looked at for one page, because predictions wait meanwhile."""


def every_model(model: str) -> bool:
    """Lets all models be read."""
    return True


@dataclass(slots=True)
class _Heard:
    at: float
    watches: int = 0
    device: edge.EdgeDevice = field(default_factory=edge.EdgeDevice)

    def is_troubled(self, may_read: Callable[[str], bool]) -> bool:
        return not self.watches or any(may_read(each.model) for each in self.device.refused)


class Roster:
    """Use it from one thread. All times are seconds of one clock that never goes back."""

    def __init__(self, max_devices: int = MAX_DEVICES) -> None:
        self._max_devices = max_devices
        self._heard: OrderedDict[str, _Heard] = OrderedDict()
        """The one that has been silent for longest comes first."""
        self._names: list[str] = []
        """The same devices by name."""

    def follow(self, device: str, now: float) -> None:
        """The device begins to follow the routes."""
        self._hear(device, now).watches += 1

    def leave(self, device: str, now: float) -> None:
        """One `follow` of the device has ended."""
        heard = self._hear(device, now)
        heard.watches = max(0, heard.watches - 1)

    def report(self, request: edge.ReportDeviceRequest, now: float) -> None:
        """The device says what it serves and refuses."""
        self._hear(request.device, now).device = edge.EdgeDevice(
            served=request.served[:MAX_MODELS], refused=islice(_refused(request), MAX_REFUSED)
        )

    def page(
        self, request: edge.ListDevicesRequest, now: float, may_read: Callable[[str], bool] = every_model
    ) -> edge.ListDevicesResponse:
        """The next devices by name after the page's token. Nothing of it comes from models that may not be read."""
        self._forget(now)
        wanted = min(request.page_size or PAGE_DEVICES, MAX_PAGE_DEVICES)
        start = bisect_right(self._names, request.page_token)
        response = edge.ListDevicesResponse()
        for name in self._names[start : start + MAX_READ]:
            if len(response.devices) == wanted:
                break
            heard = self._heard[name]
            if not request.only_troubled or heard.is_troubled(may_read):
                response.devices.append(_listed(name, heard, now, may_read))
            response.next_page_token = name
        if not self._names or response.next_page_token in ("", self._names[-1]):
            response.next_page_token = ""
        return response

    def _hear(self, device: str, now: float) -> _Heard:
        heard = self._heard.get(device)
        if heard is None:
            self._forget(now)
            while len(self._heard) >= self._max_devices:
                self._drop(next(iter(self._heard)))
            heard = self._heard[device] = _Heard(now)
            insort(self._names, device)
        heard.at = now
        self._heard.move_to_end(device)
        return heard

    def _forget(self, now: float) -> None:
        while self._heard and now - next(iter(self._heard.values())).at > FORGET_SECONDS:
            self._drop(next(iter(self._heard)))

    def _drop(self, device: str) -> None:
        del self._heard[device]
        del self._names[bisect_right(self._names, device) - 1]


def _refused(request: edge.ReportDeviceRequest) -> Iterator[edge.RefusedVersion]:
    for route in request.routes:
        for each in route.failures:
            yield edge.RefusedVersion(
                model=route.model, version=each.version, reason=each.reason[:MAX_REASON_CHARACTERS]
            )


def _listed(name: str, heard: _Heard, now: float, may_read: Callable[[str], bool]) -> edge.EdgeDevice:
    return edge.EdgeDevice(
        device=name,
        following=bool(heard.watches),
        silent_ms=int((now - heard.at) * 1000),
        served=(each for each in heard.device.served if may_read(each.model)),
        refused=(each for each in heard.device.refused if may_read(each.model)),
    )
