"""Decides whose error a failed request is: the caller's, or that of the version which ran it. Pure.

A graph may reject an input because of its values or sizes, such as an index that a table does not have. That is the
caller's error where the other version of the release rejects the same input, and it is evidence against neither.
Where the other version answers, it is the version's error: a broken candidate cannot hide behind its callers.

Without the other version's opinion the decision is careful. A value that was proven to be the cause is the caller's.
Words of ONNX Runtime about sizes or values excuse a version that has no candidate beside it, and one whose other
version is too busy to be asked. They never excuse a first release, which would then have no evidence against it.
"""

from dataclasses import dataclass
from enum import Enum, auto

MAX_UNCONFIRMED = 64
"""How many more failures than the confirmed ones may be excused in one route while the other version is too busy."""


class Cause(Enum):
    """What is known of a failure from the version that ran."""

    VALUE = auto()
    """Proven: the version answers once this value of the caller is replaced."""
    INPUT = auto()
    """ONNX Runtime speaks of values or sizes. They may also be the graph's own."""
    SIGNATURE = auto()
    """The request does not fit the inputs that the version declares."""
    UNCLEAR = auto()
    """ONNX Runtime ended the run, and its words do not say why."""
    SIZE = auto()
    """The forward needs more memory than there is, or its answer is too large to be sent."""
    OTHER = auto()
    """Nothing that an input causes."""


class Opinion(Enum):
    """What the other version of the release does with the same request."""

    ANSWERED = auto()
    REJECTED = auto()
    BUSY = auto()
    """It could not be asked in time."""
    ABSENT = auto()
    """There is no other version, or it is not loaded."""


class Fault(Enum):
    """Whose error it is. The caller's is refused and is no evidence. The version's is a bad answer."""

    CALLER = auto()
    VERSION = auto()


@dataclass(slots=True)
class Excuses:
    """How many failures of one route were put down to callers, with the other version's word and without it.

    A version whose failures are never confirmed runs out of excuses. So it cannot hide behind a busy one.
    """

    confirmed: int = 0
    unconfirmed: int = 0

    @property
    def left(self) -> int:
        """How many failures without an opinion are still excused."""
        return max(0, self.confirmed + MAX_UNCONFIRMED - self.unconfirmed)

    def note(self, opinion: Opinion, fault: Fault) -> None:
        """Counts a failure that was decided."""
        if fault is Fault.CALLER and opinion is Opinion.REJECTED:
            self.confirmed += 1
        elif fault is Fault.CALLER and opinion is Opinion.BUSY:
            self.unconfirmed += 1


def needs_opinion(cause: Cause, is_candidate: bool) -> bool:
    """Whether the other version decides. A request that stable's own inputs refuse is the caller's error at once."""
    return cause is not Cause.OTHER and (cause is not Cause.SIGNATURE or is_candidate)


def fault_of(cause: Cause, opinion: Opinion, is_candidate: bool, excuses_left: int) -> Fault:
    """Whose error the failure is."""
    if not needs_opinion(cause, is_candidate):
        return Fault.CALLER if cause is Cause.SIGNATURE else Fault.VERSION
    match opinion:
        case Opinion.REJECTED:
            excused = True
        case Opinion.ANSWERED:
            excused = False
        case Opinion.BUSY:
            excused = cause is Cause.VALUE or (cause is Cause.INPUT and excuses_left > 0)
        case Opinion.ABSENT:
            excused = cause in (Cause.VALUE, Cause.SIGNATURE) or (cause is Cause.INPUT and not is_candidate)
    return Fault.CALLER if excused else Fault.VERSION
