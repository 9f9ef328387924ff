"""What Headgate adds to the Open Inference Protocol: where a call carries its routing key, and what an answer says.

Also how large its messages may be.
"""

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""The size of a request, and of a response."""

ROUTING_KEY_METADATA = "x-routing-key"
"""The metadata of a call with the routing key. Metadata holds printable ASCII only."""
TIMEOUT_HEADER = "x-request-timeout-ms"
"""The header of a REST request with the milliseconds after which its caller waits no longer."""
REQUEST_ID_HEADER = "x-request-id"
"""The header of a REST request that comes back in the answer, so that logs of both sides can be compared."""
ROUTING_KEY = "routing_key"
"""The parameter of a request with the routing key. It holds any text."""
ARM_METADATA = "x-headgate-arm"
"""The metadata of a tester's call with the arm that shall answer it: stable or candidate."""
ARM = "arm"
"""The parameter of an answer with the arm that it counts for; "pinned" where the caller named the version."""
RELEASE = "release"
"""The parameter of an answer with the release during which it was given; 0 for none."""
BAD = "headgate_bad"
"""The parameter of an answer whose values are not all finite numbers."""
