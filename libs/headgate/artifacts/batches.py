"""Limits the number of rows that run through a network at once, and so the memory that they need.

A network needs many times the bytes of its rows. The training has shown that it can run batches of a certain size. So
a model is measured in batches that are no larger.
"""

MAX_BATCH_BYTES = 4 * 1024**2
"""The limit for the features of a batch."""


def rows_at_once(row_bytes: int, batch_size: int) -> int:
    """The number of rows in a batch, for rows of so many bytes. `batch_size` is that of the training."""
    return max(1, min(batch_size, MAX_BATCH_BYTES // max(row_bytes, 1)))


def batches(rows: int, at_most: int) -> list[slice]:
    """Splits the rows into batches of `at_most` rows, in order.

    A last row that would be alone joins the batch before it, because BatchNorm cannot train on one row. With batches
    of one row, no row joins another.
    """
    starts = list(range(0, rows, at_most))
    if at_most > 1 and len(starts) > 1 and rows - starts[-1] == 1:
        starts.pop()
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], rows], strict=False)]
