"""Decides how the code of a repository runs: in the jail, as the trainer's own user, or not at all."""

from dataclasses import dataclass, field

from headgate.jail.port import JailLimits
from headgate.jail.repositories import is_listed

TRUSTED_SETTING = "HEADGATE_TRUSTED_REPOSITORIES"
NETWORK_SETTING = "HEADGATE_NETWORK_REPOSITORIES"


@dataclass(frozen=True, slots=True)
class JailSettings:
    """What the operator allows. Both lists are those of `repositories.listed`."""

    trusted: tuple[str, ...] = ()
    """What may run without a jail where none can be had."""
    network: tuple[str, ...] = ()
    """What may use the network from its jail."""
    limits: JailLimits = field(default_factory=JailLimits)


@dataclass(frozen=True, slots=True)
class InJail:
    """The code runs in the jail."""

    has_network: bool


@dataclass(frozen=True, slots=True)
class AsTrusted:
    """The code runs as the service's own user, because the operator trusts its repository."""


@dataclass(frozen=True, slots=True)
class NotRun:
    """Nothing runs, with the reason and what to do."""

    reason: str


Decision = InJail | AsTrusted | NotRun


def decide(repository: str, settings: JailSettings, problem: str) -> Decision:
    """`problem` is why there is no jail, and empty where there is one.

    What has no repository, such as an imported file, runs no foreign code and needs nobody's trust.
    """
    if not problem:
        return InJail(bool(repository) and is_listed(repository, settings.network))
    if not repository or is_listed(repository, settings.trusted):
        return AsTrusted()
    return NotRun(
        f"the code of {repository} is not run: {problem}. Or the operator names the repository in {TRUSTED_SETTING}:"
        " then its code runs as the trainer's own user, and a bad commit can do what the trainer can"
    )
