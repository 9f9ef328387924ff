"""What the training process cannot make a version of. The text says what was wrong, where, and what to do."""


class TrainingFailure(Exception):
    """The repository's code, its rows or its training did something that cannot become a version."""


class ExportFailure(Exception):
    """The network has no ONNX graph that answers as it does, or it answers in a form that its task does not take."""
