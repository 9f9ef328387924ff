"""A REST server over the gateway of the tests, and a caller of it."""

import http.client
import json
import socket
from contextlib import closing, contextmanager
from typing import NamedTuple

from services.gateway.rest.server import RestServer
from tests.gateway.harness import running_gateway
from tests.waiting import PATIENCE_SECONDS


class Answer(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    content: bytes

    @property
    def json(self):
        return json.loads(self.content)


class RestHarness:
    """`gateway` is the GatewayHarness whose inference answers here. With `tls` it speaks TLS."""

    def __init__(self, gateway, tls=None):
        self.gateway = gateway
        self.server = RestServer(
            gateway.inference, gateway.server.loop, "127.0.0.1", 0, gateway.metrics, tls, callers=gateway.callers
        )
        self.port = self.server.start()
        self._stopped = False

    def ask(self, method, path, body=None, headers=(), context=None):
        """One request on a connection of its own, with TLS where there is a context for it."""
        at, more = ("127.0.0.1", self.port), {"timeout": PATIENCE_SECONDS}
        made = (
            http.client.HTTPSConnection(*at, context=context, **more)
            if context
            else http.client.HTTPConnection(*at, **more)
        )
        with closing(made) as connection:
            return self.ask_on(connection, method, path, body, headers)

    def ask_on(self, connection, method, path, body=None, headers=()):
        content = json.dumps(body).encode() if isinstance(body, dict) else body
        connection.request(method, path, content, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, response.headers, response.read())

    def infer(self, body, model="fraud", **headers):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("POST", f"/v2/models/{model}/infer", body, named)

    @contextmanager
    def socket(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS) as opened:
            yield opened

    def exchange(self, sent):
        """Everything that comes back for these bytes, until the server ends the connection."""
        with self.socket() as opened:
            opened.sendall(sent)
            received = b""
            while part := opened.recv(65536):
                received += part
            return received

    def stop(self, grace_seconds):
        if not self._stopped:
            self._stopped = True
            self.server.stop(grace_seconds)


@contextmanager
def running_rest(networks, gates=()):
    """A RestHarness that serves, over a gateway that serves."""
    with running_gateway(networks, gates) as gateway:
        rest = RestHarness(gateway)
        try:
            yield rest
        finally:
            rest.stop(grace_seconds=2.0)


def rows(*values, **fields):
    """A request with one FP32 input of one row."""
    return {"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, len(values)], "data": list(values)}], **fields}
