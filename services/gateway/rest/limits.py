"""The limits of the REST server. The size of a body is the one of gRPC's messages."""

from headgate.inference_parameters import MAX_MESSAGE_BYTES

MAX_BODY_BYTES = MAX_MESSAGE_BYTES
"""The size of a request's body, also once it is decompressed."""
MAX_BODIES_BYTES = 16 * MAX_BODY_BYTES
"""The size of all bodies together that are being received."""
MAX_HEADER_BYTES = 16 * 1024
MAX_HEADERS = 100
MAX_CHUNK_OVERHEAD = 8
"""The most bytes around each byte of a chunked body, beside MAX_HEADER_BYTES. Chunks of one byte need five."""
MAX_ANSWERS_PER_TURN = 16
"""The most pipelined requests of one connection that are answered before other connections have their turn."""

HANDSHAKE_SECONDS = 10.0
"""How long a caller may take to agree on TLS."""
HEADER_SECONDS = 10.0
"""From the first byte of a request to the end of its header."""
REQUEST_SECONDS = 60.0
"""From the first byte of a request to its last."""
IDLE_SECONDS = 75.0
"""How long a connection may stay open without a request."""
IDLE_DRAIN_SECONDS = 1.0
"""How long a connection of a stopping server stays open after its last answer, for one more request."""
WRITE_SECONDS = 60.0
"""How long a caller may take no bytes of its answers."""
LINGER_SECONDS = 5.0
"""How long a connection stays open after its last answer, so that a caller which still sends can read the answer."""
SWEEP_SECONDS = 1.0
"""How often the connections are compared with these limits."""
