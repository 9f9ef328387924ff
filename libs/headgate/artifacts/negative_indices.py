"""How an exported graph passes on an index below 0, so that it finds nothing.

torch refuses such an index in an embedding. ONNX counts it from the end instead: -1, which often stands for "unknown",
would get the answer of the last category.
"""

BELOW_EVERY_TABLE = 2**40
"""What is taken from an index below 0: more than the rows of any table."""
_WHOLE = 2**63
"""An index has 64 bits, so what falls below the least number begins again at the largest."""


def indices_of_caller(shown: int) -> tuple[int, ...]:
    """The indices that a graph shows as this one when it finds nothing: the index itself, or one below 0.

    A graph that another tool has written does not move indices, so the index itself is always among them.
    """
    if shown >= _WHOLE - BELOW_EVERY_TABLE:
        return shown, shown + BELOW_EVERY_TABLE - 2 * _WHOLE
    return (shown, shown + BELOW_EVERY_TABLE) if shown < -BELOW_EVERY_TABLE else (shown,)
