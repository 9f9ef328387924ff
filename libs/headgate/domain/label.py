"""The word that people see for a version, derived from its axes, and the sentence about it."""

from collections.abc import Mapping

from headgate.domain.names import in_words
from headgate.domain.words import word_of
from headgate.v1 import resources_pb2 as resources

_IN_A_SENTENCE: Mapping[str, str] = {
    "created": " waits for a trainer",
    "testing": " is in its tests",
    "training": " is in training",
    "trained": " waits for its evaluation",
    "evaluating": " is in its evaluation",
    "evaluated": " waits for the verdict of its gate",
    "checkout failed": ": its checkout failed",
    "configuration failed": ": its headgate.toml is wrong",
    "data failed": ": its data cannot be used",
    "packages failed": ": its packages cannot be used",
    "tests failed": ": its tests failed",
    "training failed": ": its training failed",
    "export failed": ": its export failed",
    "import failed": ": its import failed",
    "evaluation failed": ": its evaluation failed",
    "passed": " has passed its gate",
    "failed": " has failed its gate",
    "awaiting approval": " awaits approval",
}
"""How a sentence about the version ends. The other words follow "is": it is cancelled, archived or quarantined."""


def label(version: resources.Version) -> str:
    """The state of the first axis that is not at its start, for example "archived", "quarantined" or "passed".

    The order is retention, quarantine, verdict, build.
    """
    retention, verdict = version.retention, version.verdict
    if retention != resources.RETENTION_STATE_KEPT:
        return word_of(resources.RetentionState, retention)
    if version.quarantined:
        return "quarantined"
    if verdict != resources.VERDICT_STATE_UNDECIDED:
        return word_of(resources.VerdictState, verdict)
    return word_of(resources.BuildState, version.build)


def standing(version: resources.Version, word: str = "") -> str:
    """A sentence about the version: "version 3 of fraud: its training failed". Without a word, about its label."""
    word = word or version.label
    return in_words(version.name) + _IN_A_SENTENCE.get(word, f" is {word}")
