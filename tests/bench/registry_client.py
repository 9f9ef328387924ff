"""One client process: `python -m tests.bench.registry_client headgate|mlflow|mlflow-http|kafka PORT NAME`.

Each line on standard input is an operation and for how long; each line on standard output is what it took. The
clients keep their connections open and call nothing but the operation.
"""

import http.client
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Protocol

CREATED_BYTES = 800
"""About what the fact of a created version takes, headers included."""


class Client(Protocol):
    def connect(self) -> None:
        """A new connection, made before the time runs: servers close those that were idle."""

    def create(self) -> None: ...

    def get(self) -> None: ...


class HeadgateClient:
    def __init__(self, port: int, model: str) -> None:
        import grpc  # half a second that the other client does not need

        from headgate.v1 import registry_service_pb2 as registry_service
        from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc

        self._rpc = registry_service
        self._model = f"models/{model}"
        self._stub = registry_service_grpc.RegistryServiceStub(grpc.insecure_channel(f"127.0.0.1:{port}"))
        self.create()

    def connect(self) -> None:
        """gRPC keeps its own."""

    def create(self) -> None:
        repository = "https://git.example/model.git"
        self._stub.CreateVersion(
            self._rpc.CreateVersionRequest(parent=self._model, repository=repository, commit=os.urandom(20).hex())
        )

    def get(self) -> None:
        version = self._stub.GetVersion(self._rpc.GetVersionRequest(name=f"{self._model}/versions/1"))
        assert version.version == 1


class MlflowClient:
    """MLflow's own client, as its users have it. Needs MLflow's environment."""

    def __init__(self, port: int, model: str) -> None:
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        address = f"http://127.0.0.1:{port}"
        self._client = mlflow.MlflowClient(address, address)
        self._model = model
        self._client.create_registered_model(model)
        self.create()

    def connect(self) -> None:
        """It keeps its own, and opens new ones where the server closed them."""

    def create(self) -> None:
        self._client.create_model_version(self._model, "s3://bucket/artifact")

    def get(self) -> None:
        assert int(self._client.get_model_version(self._model, "1").version) == 1


class MlflowHttpClient:
    """The bare requests without MLflow's client: the least that its server can be asked with."""

    def __init__(self, port: int, model: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port)
        self._model = model
        self._call("POST", "registered-models/create", {"name": model})
        self.create()

    def connect(self) -> None:
        self._connection.close()
        self._connection.connect()

    def create(self) -> None:
        self._call("POST", "model-versions/create", {"name": self._model, "source": "s3://bucket/artifact"})

    def get(self) -> None:
        found = self._call("GET", f"model-versions/get?name={self._model}&version=1", None)
        assert json.loads(found)["model_version"]["version"] == "1"

    def _call(self, method: str, path: str, body: dict[str, str] | None) -> bytes:
        data = json.dumps(body).encode() if body else None
        headers = {"Content-Type": "application/json"}
        self._connection.request(method, f"/api/2.0/mlflow/{path}", data, headers)
        answer = self._connection.getresponse()
        found = answer.read()
        assert answer.status == 200, found
        return found


class KafkaClient:
    """The least that an acknowledged create over Kafka can be: a record of its size, sent and read back by a tail."""

    def __init__(self, port: int, topic: str) -> None:
        from kafka import KafkaConsumer, KafkaProducer, TopicPartition

        address = f"127.0.0.1:{port}"
        self._topic = topic
        self._producer = KafkaProducer(bootstrap_servers=address, acks="all")
        self._tail = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
        self._tail.assign([TopicPartition(topic, 0)])
        self._tail.seek_to_end()
        self._tail.position(TopicPartition(topic, 0))  # seeks only when it is asked for
        self._seen = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def connect(self) -> None:
        """kafka-python keeps its own."""

    def create(self) -> None:
        self._seen.clear()
        self._producer.send(self._topic, bytes(CREATED_BYTES), partition=0)
        assert self._seen.wait(10)

    def get(self) -> None:
        raise NotImplementedError

    def _follow(self) -> None:
        while True:
            if self._tail.poll(timeout_ms=500):
                self._seen.set()


def main() -> None:
    kind, port, name = sys.argv[1:]
    client: Client = CLIENTS[kind](int(port), name)
    print("ready", flush=True)
    for line in sys.stdin:
        operation, seconds = line.split()
        client.connect()
        print(json.dumps(_repeat(getattr(client, operation), float(seconds))), flush=True)


CLIENTS: dict[str, Callable[[int, str], Client]] = {
    "headgate": HeadgateClient,
    "mlflow": MlflowClient,
    "mlflow-http": MlflowHttpClient,
    "kafka": KafkaClient,
}


def _repeat(operation: Callable[[], None], seconds: float) -> list[int]:
    """Microseconds of each call."""
    took: list[int] = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        operation()
        took.append(round((time.perf_counter() - start) * 1e6))
    return took


if __name__ == "__main__":
    main()
