"""Why an attempt failed, in words for the authors of the model."""

from headgate.v1 import facts_pb2 as facts


class AttemptFailed(Exception):
    """The attempt cannot succeed with this commit. It is reported, and not tried again."""

    def __init__(self, stage: facts.Stage.ValueType, reason: str, log_tail: str = "") -> None:
        super().__init__(reason)
        self.stage = stage
        self.reason = reason
        self.log_tail = log_tail
