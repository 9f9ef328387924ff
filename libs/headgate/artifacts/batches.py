"""How many rows run through a network at once, so that what they need in memory has a limit.

A network needs many times the bytes of its rows. The batches of its training show how many rows it can stand: a model
is measured in batches that are no larger.
"""

MAX_BATCH_BYTES = 4 * 1024**2
"""Of the features of a batch."""


def rows_at_once(row_bytes: int, batch_size: int) -> int:
    """How many rows of so many bytes make a batch; `batch_size` is that of the training."""
    return max(1, min(batch_size, MAX_BATCH_BYTES // max(row_bytes, 1)))


def batches(rows: int, at_most: int) -> list[slice]:
    """Parts of `at_most` rows, in order. A last row that would be alone joins the part before it.

    BatchNorm cannot train on one row. Where each row is to be alone, none joins another.
    """
    starts = list(range(0, rows, at_most))
    if at_most > 1 and len(starts) > 1 and rows - starts[-1] == 1:
        starts.pop()
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], rows], strict=False)]
