"""How many calls a gRPC server holds before its own code has seen them."""

MAX_PENDING_CALLS = 16_384

PENDING_CALLS = (
    ("grpc.server.max_pending_requests", MAX_PENDING_CALLS),
    ("grpc.server.max_pending_requests_hard_limit", 2 * MAX_PENDING_CALLS),
)
"""Options of a gRPC server.

gRPC's core drops calls at random above the first limit, and all above the second. Their callers see CANCELLED without a
word. Its own limits are 1,000 and 3,000: one connection that opens and resets 2,000 calls had other callers' calls
dropped. Above a service's own limit a call is refused with the reason.
"""
