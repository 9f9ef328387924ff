"""Which models a caller sees in lists and watches: exactly those that it may read one by one."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from headgate.access.grants import ALL, Bound, Grant, Grants
from headgate.access.subject import Subject
from headgate.access.table import Row


@dataclass(frozen=True, slots=True)
class Visibility:
    """The bounds of a caller's grants for one action. Equal ones show the same models, so callers share indexes."""

    allowed: frozenset[Bound]
    denied: frozenset[Bound] = frozenset()

    @property
    def is_whole(self) -> bool:
        """Whether it shows all models, those too that nobody has made yet."""
        return not self.denied and any(bound.is_all for bound in self.allowed)

    @property
    def looks_at_labels(self) -> bool:
        """Whether a change of its labels may make a model visible, or hide it."""
        return any(bound.is_label for bound in self.allowed | self.denied)

    def shows(self, model: str, labels: Mapping[str, str]) -> bool:
        """Whether it shows the model."""
        if any(bound.covers(model, labels) for bound in self.denied):
            return False
        return any(bound.covers(model, labels) for bound in self.allowed)


WHOLE = Visibility(frozenset({Bound(ALL)}))
"""What callers see that need not prove who they are."""


def visibility_of(subject: Subject, grants: Grants, row: Row) -> Visibility:
    """What the subject sees by its grants of the row's action. A grant for an environment shows no models."""
    denies, allows = grants.remembered(subject)[row.bit]
    return Visibility(_bounds(allows), _bounds(denies))


def _bounds(grants: Iterable[Grant]) -> frozenset[Bound]:
    return frozenset(grant.models for grant in grants if grant.environments.is_all)
