"""What a release waits for, in words, and until when. Pure; the pilot decides that it waits."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from headgate.domain.freezes import freezes_named
from headgate.domain.phases import phase_with_step
from headgate.domain.refusal import MAX_TEXT_CHARACTERS
from headgate.domain.words import counted
from headgate.v1 import resources_pb2 as resources


@dataclass(frozen=True, slots=True)
class Wait:
    """What a release waits for.

    `until_ms` is when this comes by itself, and 0 when nobody knows. Until then, or for ever, the release waits; but at
    `deadline_ms`, unless that is 0, happens what `at_deadline` says, such as "it pauses". `frozen_by` names the
    freezes that hold the release beside all this, until `frozen_until_ms`. `ahead` is the release whose end it waits
    for, and 0 for none.
    """

    waiting_for: str = ""
    until_ms: int = 0
    deadline_ms: int = 0
    at_deadline: str = ""
    frozen_by: str = ""
    frozen_until_ms: int = 0
    ahead: int = 0

    def at_the_latest(self, deadline_ms: int, at_deadline: str) -> "Wait":
        """The same wait with a limit."""
        return replace(self, deadline_ms=deadline_ms, at_deadline=at_deadline)

    def in_freezes(self, freezes: Sequence[resources.Freeze]) -> "Wait":
        """The same wait with those freezes that last longer, as far as anybody knows; the longest stands first."""
        longer = [freeze for freeze in freezes if freeze.until_ms > self.until_ms]
        if not self.waiting_for or not longer:
            return self
        frozen = end_of_freezes(longer)
        return replace(self, frozen_by=frozen.waiting_for, frozen_until_ms=frozen.until_ms)


A_GATEWAY = Wait("a live gateway")
A_REQUEST = Wait("a request to the candidate")
A_VERDICT = Wait("the judge's verdict")


def end_of_freezes(freezes: Sequence[resources.Freeze]) -> Wait:
    """The wait for the longest of the freezes, which stands first. All are named, because each one holds."""
    return Wait(f"the end of {freezes_named(freezes)}", freezes[0].until_ms)


def end_of_release(other: resources.Release) -> Wait:
    paused = f", paused: {other.paused_reason}" if other.paused else ""
    text = f"the end of release {other.release} (v{other.candidate}, {phase_with_step(other)}{paused})"
    return Wait(text, ahead=other.release)


def reports_of(gateways: Iterable[str]) -> Wait:
    return Wait(f"{', '.join(gateways)} to report again, or to serve stable only because its lease is over")


def candidate_on(gateways: Iterable[str], candidate: int, failures: Collection[str] = ()) -> Wait:
    failed = f"; it failed so far: {'; '.join(failures)}" if failures else ""
    return Wait(f"{', '.join(gateways)} to load v{candidate}{failed}"[:MAX_TEXT_CHARACTERS])


def weights_on(gateways: Iterable[str]) -> Wait:
    return Wait(f"{', '.join(gateways)} to apply the weights")


def stable_on(gateways: Iterable[str]) -> Wait:
    return Wait(f"{', '.join(gateways)} to serve stable alone")


def end_of_step(release: resources.Release, min_duration_ms: int) -> Wait:
    return Wait(f"the shortest time of step {release.step + 1}", release.applied_at_ms + min_duration_ms)


def more_keys(keys: int, min_keys: int) -> Wait:
    return Wait(f"{counted(min_keys - keys, 'more candidate key')} ({keys} of {min_keys})")


def end_of_bake(until_ms: int) -> Wait:
    return Wait("the end of the bake", until_ms)
