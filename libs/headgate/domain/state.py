"""The folded state of one stream. The resource messages are the state, so decisions and readers see the same.

A fold changes the messages in place. Otherwise a replay would spend most of its time on copies.
"""

from dataclasses import dataclass, field

from headgate.domain.versions import Versions
from headgate.v1 import resources_pb2 as resources


@dataclass(slots=True)
class ModelState:
    """One model, with its versions and releases by number."""

    name: str
    model: resources.Model = field(default_factory=resources.Model)
    versions: Versions = field(default_factory=Versions)
    releases: dict[int, resources.Release] = field(default_factory=dict)
    # The number of the version, by repository and commit. A commit has one version for each content of its data.
    built: dict[str, dict[str, int]] = field(default_factory=dict)
    # Who created each version, by its number: the actor of the fact.
    authors: dict[int, str] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """Whether the first fact has been folded."""
        return bool(self.model.name)


@dataclass(slots=True)
class EnvironmentState:
    """One environment."""

    name: str
    environment: resources.Environment = field(default_factory=resources.Environment)

    @property
    def exists(self) -> bool:
        """Whether the first fact has been folded."""
        return bool(self.environment.name)


@dataclass(slots=True)
class AccessState:
    """Who may do what: the grants and tokens that hold, by name."""

    name: str
    sequence: int = 0
    grants: dict[str, resources.Grant] = field(default_factory=dict)
    tokens: dict[str, resources.Token] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """Whether the first fact has been folded."""
        return self.sequence > 0

    @property
    def access(self) -> resources.Access:
        """The state as a resource, sorted by name."""
        return resources.Access(
            name=f"access/{self.name}",
            grants=[self.grants[name] for name in sorted(self.grants)],
            tokens=[self.tokens[name] for name in sorted(self.tokens)],
            etag=str(self.sequence),
        )


class IllegalFact(Exception):
    """An accepted fact that the state does not allow. Only a bug or a forged log can cause it."""
