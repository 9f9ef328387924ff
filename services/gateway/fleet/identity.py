"""Which devices a caller of the server for devices may speak for. Pure.

A certificate names its device by a URI, as `headgate certificates` writes it: spiffe://headgate/edge/DEVICE.
"""

from collections.abc import Iterable, Mapping

import grpc

from headgate.certificates.holder import Holder, Kind, holder_of_uri
from headgate.runtime.errors import RpcRefused
from headgate.runtime.rpc.peer import PEER_URI


def require_named(device: str, proven: Mapping[str, Iterable[bytes]]) -> None:
    """Raises RpcRefused unless the caller's certificate names this device. `proven` is what gRPC knows of it."""
    holders = [holder_of_uri(uri.decode(errors="replace")) for uri in proven.get(PEER_URI, ())]
    if Holder(Kind.EDGE, device) in holders:
        return
    named = ", ".join(str(each) for each in holders if each) or "no device"
    rule = f"the certificate names {named}: device {device} needs one with the URI {Holder(Kind.EDGE, device).uri}"
    raise RpcRefused(grpc.StatusCode.PERMISSION_DENIED, "other-device", rule, "device")
