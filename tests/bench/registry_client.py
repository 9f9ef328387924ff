"""One client process: `python tests/bench/registry_client.py headgate|mlflow|mlflow-http|kafka PORT NAME`.

Each line on standard input has an operation and the seconds to repeat it. Each line on standard output has the duration
of every call. The clients keep their connections open and call nothing else.
"""

import http.client
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol
from urllib.parse import urlencode

PAGE = 100
CREATED_BYTES = 800
"""About the size of the fact of a created version, with its headers."""


class Client(Protocol):
    def connect(self) -> None:
        """Connects again before the measurement, because servers close idle connections."""

    def create(self) -> None: ...

    def get(self) -> None: ...

    def page(self) -> None:
        """The newest 100 versions of the model."""

    def second_page(self) -> None:
        """The 100 versions before them, by the token of the first page."""

    def by_commit(self) -> None:
        """The version of one commit."""


def commit_of(number: int) -> str:
    """The commit of a version that a measurement prepared."""
    return f"{number * 2654435761:040x}"


class HeadgateClient:
    def __init__(self, port: int, model: str) -> None:
        import grpc  # Imported here, because it takes half a second and the other clients do not need it.

        from headgate.v1 import registry_service_pb2 as registry_service
        from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc

        self._rpc = registry_service
        self._model = f"models/{model}"
        self._stub = registry_service_grpc.RegistryServiceStub(grpc.insecure_channel(f"127.0.0.1:{port}"))
        self._token = ""
        self.create()

    def connect(self) -> None:
        """gRPC keeps its connection."""

    def create(self) -> None:
        repository = "https://git.example/model.git"
        self._stub.CreateVersion(
            self._rpc.CreateVersionRequest(parent=self._model, repository=repository, commit=os.urandom(20).hex())
        )

    def get(self) -> None:
        version = self._stub.GetVersion(self._rpc.GetVersionRequest(name=f"{self._model}/versions/1"))
        assert version.version == 1

    def page(self) -> None:
        self._token = self._list().next_page_token

    def second_page(self) -> None:
        assert len(self._list(page_token=self._token).versions) == PAGE

    def by_commit(self) -> None:
        assert [found.version for found in self._list(filter=f"commit = {commit_of(150)}").versions] == [150]

    def _list(self, **fields: str) -> Any:
        request = self._rpc.ListVersionsRequest(parent=self._model, page_size=PAGE, **fields)
        return self._stub.ListVersions(request)


class MlflowClient:
    """MLflow's own client, as its users have it. Needs the Python environment of MLflow."""

    def __init__(self, port: int, model: str) -> None:
        import mlflow

        logging.getLogger("mlflow").setLevel(logging.WARNING)
        address = f"http://127.0.0.1:{port}"
        self._client = mlflow.MlflowClient(address, address)
        self._model = model
        self._client.create_registered_model(model)
        self.create()

    def connect(self) -> None:
        """MLflow's client keeps its connections, and opens new ones when the server has closed them."""

    def create(self) -> None:
        self._client.create_model_version(self._model, "s3://bucket/artifact")

    def get(self) -> None:
        assert int(self._client.get_model_version(self._model, "1").version) == 1

    def page(self) -> None:
        self._token = self._search(f"name='{self._model}'").token

    def second_page(self) -> None:
        assert len(self._search(f"name='{self._model}'", self._token)) == PAGE

    def by_commit(self) -> None:
        found = self._search(f"name='{self._model}' and tags.commit='{commit_of(150)}'")
        assert [int(version.version) for version in found] == [150]

    def _search(self, text: str, token: str | None = None) -> Any:
        return self._client.search_model_versions(text, PAGE, ["version_number DESC"], token)


class MlflowHttpClient:
    """Plain HTTP requests without MLflow's client: the cheapest way to call its server."""

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

    def page(self) -> None:
        self._token = self._search(f"name='{self._model}'")["next_page_token"]

    def second_page(self) -> None:
        assert len(self._search(f"name='{self._model}'", self._token)["model_versions"]) == PAGE

    def by_commit(self) -> None:
        (version,) = self._search(f"name='{self._model}' and tags.commit='{commit_of(150)}'")["model_versions"]
        assert version["version"] == "150"

    def _search(self, text: str, token: str = "") -> Any:
        fields = {"filter": text, "max_results": PAGE, "order_by": "version_number DESC", "page_token": token}
        query = urlencode({name: value for name, value in fields.items() if value})
        return json.loads(self._call("GET", f"model-versions/search?{query}", None))

    def _call(self, method: str, path: str, body: dict[str, str] | None) -> bytes:
        data = json.dumps(body).encode() if body else None
        headers = {"Content-Type": "application/json"}
        self._connection.request(method, f"/api/2.0/mlflow/{path}", data, headers)
        answer = self._connection.getresponse()
        found = answer.read()
        assert answer.status == 200, found
        return found


class KafkaClient:
    """The cheapest acknowledged create over Kafka: sends a record of the same size and reads it back from the end."""

    def __init__(self, port: int, topic: str) -> None:
        from kafka import KafkaConsumer, KafkaProducer, TopicPartition

        address = f"127.0.0.1:{port}"
        self._topic = topic
        self._producer = KafkaProducer(bootstrap_servers=address, acks="all")
        self._tail = KafkaConsumer(bootstrap_servers=address, enable_auto_commit=False)
        self._tail.assign([TopicPartition(topic, 0)])
        self._tail.seek_to_end()
        self._tail.position(TopicPartition(topic, 0))  # The seek happens only with this call.
        self._seen = threading.Event()
        threading.Thread(target=self._follow, daemon=True).start()

    def connect(self) -> None:
        """kafka-python keeps its connection."""

    def create(self) -> None:
        self._seen.clear()
        self._producer.send(self._topic, bytes(CREATED_BYTES), partition=0)
        assert self._seen.wait(10)

    def get(self) -> None:
        raise NotImplementedError

    page = second_page = by_commit = get

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
    """Repeats the operation for so many seconds. Returns the microseconds of each call."""
    took: list[int] = []
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        operation()
        took.append(round((time.perf_counter() - start) * 1e6))
    return took


if __name__ == "__main__":
    main()
