"""What Headgate adds to the Open Inference Protocol: where a call carries its routing key, and what an answer says.

Also how large its messages may be.
"""

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""The size of a request, and of a response."""

ROUTING_KEY_METADATA = "x-routing-key"
"""The metadata of a call with the routing key. Metadata holds printable ASCII only."""
ROUTING_KEY = "routing_key"
"""The parameter of a request with the routing key. It holds any text."""
ARM = "arm"
"""The parameter of an answer with the arm that it counts for."""
RELEASE = "release"
"""The parameter of an answer with the release during which it was given; 0 for none."""
BAD = "headgate_bad"
"""The parameter of an answer whose values are not all finite numbers."""
