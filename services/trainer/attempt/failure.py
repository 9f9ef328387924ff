"""Why an attempt failed, in words for the authors of the model."""

from headgate.domain.credentials import as_it_may_be_kept
from headgate.v1 import facts_pb2 as facts


class AttemptFailed(Exception):
    """The attempt cannot succeed with this commit. It is reported, and not tried again."""

    def __init__(self, stage: facts.Stage.ValueType, reason: str, log_tail: str = "") -> None:
        self.stage = stage
        self.reason = as_it_may_be_kept(reason)
        super().__init__(self.reason)
        self.log_tail = log_tail
