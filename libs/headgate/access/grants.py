"""Grants: which role a subject has, for which models and environments. A deny overrides every allow."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from headgate.access.roles import BITS, RIGHTS, Action, Role
from headgate.access.subject import DEVICE_PREFIX, SERVICE_PREFIX, Kind, Subject
from headgate.domain.bounds import DEFAULT_BOUND, prefix_covers
from headgate.domain.names import ANONYMOUS

ALL = "*"
"""As a bound: all names. As a target: all models or environments at once, as a list of them is."""
NONE = ""
"""As a target: the call is about no model, or about no environment."""
FROM_SETTINGS = "the settings"
"""The name of the grant of an administrator whom the settings name. No grant on the log can have it."""
EVERY_DEVICE = DEVICE_PREFIX + ALL
"""The subject of grants that hold for each device with a certificate."""
GROUP_PREFIX = "group:"
MAX_REMEMBERED = 10_000
"""Subjects whose grants are remembered in the form that decisions use. With one more, all are forgotten."""


class Target(NamedTuple):
    """What one call is about: the names of its model and its environment, and the model's labels.

    In place of the model's name a call that gives a role has the bound of the role, when that is a prefix.
    """

    model: str = NONE
    environment: str = NONE
    labels: Mapping[str, str] = {}


EVERYTHING = Target(ALL, ALL)
NOTHING = Target()
"""The target of calls about no model and no environment in particular."""


def project_bound(project: str) -> str:
    """The bound that covers the models of a project."""
    return f"{project}.{ALL}"


class Bound:
    """For which names a grant holds.

    `*` stands for all, `fraud` for one, `fraud-*` for a prefix within one project, `risk.*` for a project, `default.*`
    for the models without a project in their names, and `team=risk` for a label.
    """

    __slots__ = ("_dots", "_label", "_prefix", "_value", "is_all", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.is_all = text == ALL
        self._prefix = text[:-1] if text.endswith(ALL) and text != DEFAULT_BOUND else None
        self._dots = text.count(".")
        label, equals, self._value = text.partition("=")
        self._label = label if equals else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Bound) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)

    @property
    def is_label(self) -> bool:
        """Whether it looks at labels."""
        return self._label is not None

    def covers(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether the grant holds for this target. Only the bound `*` holds for a target of all names, or of none."""
        if self.is_all or name == self.text:
            return True
        prefix = self._prefix
        if prefix is not None:
            # As `prefix_covers` has it, but here, because a call costs as much as the rest.
            return name.startswith(prefix) and name.count(".") == self._dots
        if self._label is not None:
            return labels.get(self._label) == self._value
        return self.text == DEFAULT_BOUND and prefix_covers(DEFAULT_BOUND, name)

    def touches(self, name: str, labels: Mapping[str, str]) -> bool:
        """Whether the grant holds for a part of the target, which may be all names, or those of a prefix."""
        if name == ALL or self.covers(name, labels):
            return True
        return name.endswith(ALL) and (self._label is not None or Bound(name).covers(self.text, {}))


@dataclass(frozen=True, slots=True)
class Grant:
    """One role of one subject within its bounds. With `deny` the subject loses what the role adds."""

    name: str
    subject: str
    role: Role
    models: Bound
    environments: Bound
    deny: bool = False

    @property
    def actions(self) -> frozenset[Action]:
        """What it allows, or denies."""
        rights = RIGHTS[self.role]
        return rights.own if self.deny else rights.own | rights.also

    def covers(self, target: Target) -> bool:
        """Whether it holds for the whole target."""
        model, environment, labels = target
        bound = self.models
        # The usual bounds are looked at here, because a call costs as much as the rest.
        if not (bound.is_all or bound.text == model or bound.covers(model, labels)):
            return False
        bound = self.environments
        return bound.is_all or bound.text == environment or bound.covers(environment, labels)

    def touches(self, target: Target) -> bool:
        """Whether it holds for a part of the target: a deny of one model also forbids a list of all of them."""
        model, environment, labels = target
        bound = self.models
        if not (model == ALL or bound.covers(model, labels) or (ALL in model and bound.touches(model, labels))):
            return False
        return environment == ALL or self.environments.covers(environment, labels)


Held = Mapping[int, tuple[tuple[Grant, ...], tuple[Grant, ...]]]
"""The denies and the allows of one subject, by the bit of the action."""


class Grants:
    """All grants, by subject. It does not change; a new grant makes a new one. Thread-safe."""

    def __init__(self, grants: Iterable[Grant] = ()) -> None:
        self._by_subject: dict[str, tuple[Grant, ...]] = {}
        for grant in grants:
            self._by_subject[grant.subject] = (*self._by_subject.get(grant.subject, ()), grant)
        self.held: dict[tuple[str, bool, tuple[str, ...]], Held] = {}
        """What `remembered` has answered, by name, whether it is a service, and groups."""

    def of(self, subject: Subject) -> tuple[Grant, ...]:
        """The grants that hold for the subject: its own, its groups', everybody's, and what a service may do anyway.

        Those of every device hold for a name of a device, which only a certificate proves.
        """
        names = [ANONYMOUS, *(GROUP_PREFIX + group for group in subject.groups)]
        if subject.kind is not Kind.NOBODY:
            names.append(subject.name)
        if subject.name.startswith(DEVICE_PREFIX):
            names.append(EVERY_DEVICE)
        held = tuple(grant for name in names for grant in self._by_subject.get(name, ()))
        return held + _SERVICE if subject.kind is Kind.SERVICE else held

    def remembered(self, subject: Subject) -> Held:
        """The same grants, by what they deny and allow. Kept in `held`, where a decision looks first."""
        if len(self.held) >= MAX_REMEMBERED:
            self.held.clear()
        held = self.held[subject.name, subject.kind is Kind.SERVICE, subject.groups] = _by_action(self.of(subject))
        return held


def _by_action(grants: tuple[Grant, ...]) -> Held:
    return {
        BITS[action]: (
            tuple(each for each in grants if each.deny and action in each.actions),
            tuple(each for each in grants if not each.deny and action in each.actions),
        )
        for action in Action
    }


_SERVICE = (Grant("service", SERVICE_PREFIX + ALL, Role.SERVICE, Bound(ALL), Bound(ALL)),)
"""What each of Headgate's own services may do without a grant."""
