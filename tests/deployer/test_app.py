from pathlib import Path

import grpc

from headgate.v1 import worker_services_pb2 as worker_services
from headgate.v1 import worker_services_pb2_grpc as worker_services_grpc
from services.deployer.app import build
from services.deployer.settings import Settings


def test_a_deployer_on_an_empty_log_answers_that_it_pilots_nothing(tmp_path: Path):
    deployer = build(Settings(log=f"sqlite:///{tmp_path}/log.db"))
    port = deployer.start()
    try:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            door = worker_services_grpc.DeployerServiceStub(channel)
            answer = door.ListPilots(worker_services.ListPilotsRequest(), timeout=10)
        assert list(answer.pilots) == []
    finally:
        deployer.stop(1.0)
