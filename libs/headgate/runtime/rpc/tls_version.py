"""Has gRPC's core refuse TLS 1.2. grpcio has no setting for it, but the ciphers of TLS 1.2 can be named at the start.

The one that is named needs a secret that both sides share and nobody has, so no connection with TLS 1.2 comes about.
The ciphers of TLS 1.3 are another list, which stays as it is. gRPC reads the variable when it is imported.
"""

import logging
import os

VARIABLE = "GRPC_SSL_CIPHER_SUITES"
NONE_OF_TLS_1_2 = "PSK-AES128-CBC-SHA"

logger = logging.getLogger(__name__)


def warn_of_tls_1_2() -> None:
    """Logs when this process also takes TLS 1.2."""
    if os.environ.get(VARIABLE) != NONE_OF_TLS_1_2:
        logger.warning(
            "callers may also use TLS 1.2: start the service with %s=%s, which leaves TLS 1.3 alone",
            VARIABLE,
            NONE_OF_TLS_1_2,
        )
