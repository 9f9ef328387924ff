"""`python -m tests.bench.gateway_process` serves a canary at 95/5 until its input ends.

It prints its REST and its gRPC port. With the file of a certificate and its key, gRPC speaks TLS and there is no REST;
with another word it also asks for the token BENCH_TOKEN.
"""

import sys
from pathlib import Path

from headgate.runtime.tls import TlsFiles
from headgate.v1 import facts_pb2 as facts
from tests.bench.rest_material import MODEL, network
from tests.gateway.harness import canary, running_gateway
from tests.gateway.rest.serving import running_rest
from tests.runtime.authentication.granted import Granted, secret_of

TOKEN = "bench"
BENCH_TOKEN = secret_of(TOKEN)


def main() -> None:
    versions = {(MODEL, version): network() for version in (1, 2)}
    if sys.argv[1:]:
        pair = Path(sys.argv[1])
        granted = Granted() if sys.argv[2:] else None
        if granted is not None:
            granted.made_token(TOKEN, facts.ROLE_PREDICTOR)
        with running_gateway(versions, tls=TlsFiles(pair, pair), granted=granted) as gateway:
            gateway.serve(MODEL, live=1, release=canary(500, epoch=1))
            print(0, gateway.address.rpartition(":")[2], flush=True)
            sys.stdin.read()
        return
    with running_rest(versions) as rest:
        rest.gateway.serve(MODEL, live=1, release=canary(500, epoch=1))
        print(rest.port, rest.gateway.address.rpartition(":")[2], flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
