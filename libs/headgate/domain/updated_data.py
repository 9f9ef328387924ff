"""Versions of a commit whose data has new bytes: what depends on a data file, and which bytes a version takes."""

from collections.abc import Iterable

from headgate.domain.names import SHA256
from headgate.domain.refusal import Refused, invalid
from headgate.domain.repository import broken_data_rule
from headgate.domain.state import ModelState
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import resources_pb2 as resources

DATA_UPDATED = "headgate.data.updated.v1"
"""The type of the event."""
MAX_UPDATES = 64
"""As many as a headgate.toml may name data files."""
SHA256_RULE = "sha256: a SHA-256 has 64 hex digits in small letters"
SHA256_MISSING = "sha256 is missing; give the SHA-256 of the new bytes, 64 hex digits in small letters"
PLACE_RULE = "uri: expected the place of the data as headgate.toml has it"

Updates = Iterable[configuration.UpdatedData]


def broken_update_rule(update: configuration.UpdatedData) -> str:
    """The rule that an update breaks; empty for one that a record may hold."""
    if not update.uri or broken_data_rule(update.uri):
        return f"{PLACE_RULE}: {broken_data_rule(update.uri) or 'it is empty'}"
    if not update.sha256:
        return SHA256_MISSING
    return "" if SHA256.fullmatch(update.sha256) else SHA256_RULE


def wrong_updates(updates: Updates) -> Refused | None:
    """The refusal of updates that a version cannot have; None for those that it can."""
    found = list(updates)
    if len(found) > MAX_UPDATES or len({update.uri for update in found}) < len(found):
        return invalid("updated_data", "too many", f"a version updates at most {MAX_UPDATES} places of data, each once")
    rule = next(filter(None, map(broken_update_rule, found)), "")
    return invalid("updated_data", "one that is not shown", rule) if rule else None


def with_updates(declared: configuration.ModelConfiguration, updates: Updates) -> configuration.ModelConfiguration:
    """The configuration with the new digests in place of the commit's."""
    changed, digests = configuration.ModelConfiguration(), {update.uri: update.sha256 for update in updates}
    changed.CopyFrom(declared)
    for file in changed.data:
        file.sha256 = digests.get(file.uri, file.sha256)
    return changed


def what_is_built(commit: str, updates: Updates) -> str:
    """The key of a version among those of its repository: a commit has one version for each content of its data."""
    return " ".join([commit, *sorted(f"{update.sha256}={update.uri}" for update in updates)])


def retraining(state: ModelState, update: configuration.UpdatedData) -> commands.CreateVersion | None:
    """The command that trains the model on the new bytes; None when it does not depend on them.

    The newest version whose configuration is known says what the model depends on. Its commit is trained again, with
    what earlier updates have changed.
    """
    version = _newest_configured(state)
    if version is None:
        return None
    if not any(file.uri == update.uri and file.sha256 != update.sha256 for file in version.configuration.data):
        return None
    kept = [earlier for earlier in version.updated_data if earlier.uri != update.uri]
    return commands.CreateVersion(
        repository=version.repository,
        commit=version.commit,
        commit_message=version.commit_message,
        updated_data=[*kept, update],
    )


def _newest_configured(state: ModelState) -> resources.Version | None:
    for number in range(len(state.versions), 0, -1):
        found = state.versions.get(number)
        if found is not None and found.HasField("configuration"):
            return found
    return None
