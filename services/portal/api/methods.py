"""Which RPCs the JSON API offers, where their services answer, and why the others are not among them."""

from collections.abc import Mapping

from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor

from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.v1 import access_service_pb2 as access_service
from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import release_service_pb2 as release_service
from headgate.v1 import worker_services_pb2 as worker_services

PROTOS: tuple[FileDescriptor, ...] = tuple(
    module.DESCRIPTOR
    for module in (registry_service, release_service, access_service, worker_services, edge, inference)
)

SERVICE_OF: Mapping[str, str] = {
    "headgate.v1.RegistryService": "registry",
    "headgate.v1.ReleaseService": "registry",
    "headgate.v1.AccessService": "registry",
    "headgate.v1.TrainerService": "trainer",
    "headgate.v1.ArtifactService": "trainer",
    "headgate.v1.EvaluatorService": "evaluator",
    "headgate.v1.DeployerService": "deployer",
    "headgate.v1.EdgeService": "gateway",
}
"""gRPC service -> the service that answers it."""

_DEVICE = "a device calls it with its certificate, which `headgate edge run` does"
_INFERENCE = "a gateway answers it itself, over the REST form of the Open Inference Protocol"

WITHOUT_HTTP: Mapping[str, str] = {
    "headgate.v1.ArtifactService.UploadBlob": "a file comes in parts, not as JSON: FetchBlob takes one from a URL",
    "headgate.v1.EdgeService.WatchRoutes": _DEVICE,
    "headgate.v1.EdgeService.ReadArtifact": _DEVICE,
    "headgate.v1.EdgeService.ReportDevice": _DEVICE,
    **{
        method.full_name: _INFERENCE
        for service in inference.DESCRIPTOR.services_by_name.values()
        for method in service.methods
    },
}
"""RPC -> the reason why it has no way over HTTP."""


def services() -> list[ServiceDescriptor]:
    """The gRPC services that users call."""
    return [service for proto in PROTOS for service in proto.services_by_name.values()]
