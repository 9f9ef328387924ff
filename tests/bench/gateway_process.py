"""`python -m tests.bench.gateway_process` serves a canary at 95/5 until its input ends.

It prints its REST and its gRPC port.
"""

import sys

from tests.bench.rest_material import MODEL, network
from tests.gateway.harness import canary
from tests.gateway.rest.serving import running_rest


def main() -> None:
    versions = {(MODEL, version): network() for version in (1, 2)}
    with running_rest(versions) as rest:
        rest.gateway.serve(MODEL, live=1, release=canary(500, epoch=1))
        print(rest.port, rest.gateway.address.rpartition(":")[2], flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
