"""python -m services.gateway"""

import os
from collections.abc import Mapping

from headgate.runtime.service import Service, run
from headgate.runtime.settings import from_env
from services.gateway.settings import Settings
from services.gateway.workers.worker import WORKER_VARIABLE


def gateway(environ: Mapping[str, str]) -> Service:
    """The gateway, one of its workers, or their parent."""
    settings = from_env(Settings, environ)
    link = environ.get(WORKER_VARIABLE)
    # Imported late: the parent of workers needs no ONNX Runtime, and a worker starts no other.
    if not link and settings.gateway_workers > 1:
        from services.gateway.workers.pool import WorkerPool

        return WorkerPool(settings, environ)
    from services.gateway.app import build
    from services.gateway.workers.link import ParentLink

    return build(settings, ParentLink(int(link)) if link else None)


if __name__ == "__main__":
    run(lambda: gateway(os.environ), "gateway")
