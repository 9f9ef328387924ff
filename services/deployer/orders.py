"""The deployer's commands, with ids that are the same for the same step of the same release."""

from collections.abc import Mapping

from google.protobuf.message import Message

from headgate.domain.names import model_stream, release_name, short_name, version_name
from headgate.domain.state import ModelState
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import resources_pb2 as resources

ACTOR = "deployer"

_FIELD_OF = {
    field.message_type.full_name: field.name
    for field in commands.Command.DESCRIPTOR.oneofs_by_name["command"].fields
    if field.message_type is not None
}


def start_release(model: str, version: resources.Version) -> commands.Command:
    """Asks for the release that the version's own configuration wishes for."""
    wish = version.configuration.release
    return commands.Command(
        command_id=f"{version_name(model, version.version)}/release/{wish.environment}",
        stream=model_stream(model),
        actor=ACTOR,
        correlation_id=version.commit,
        start_release=commands.StartRelease(
            environment=wish.environment,
            candidate=version.version,
            strategy=wish.strategy,
            reason="the version passed its gate",
        ),
    )


def correlate(command: commands.Command, models: Mapping[str, ModelState]) -> None:
    """Names the commit that it all began with in an order about a release."""
    wish = getattr(command, command.WhichOneof("command") or "")
    state = models.get(short_name(command.stream))
    release = state.releases.get(getattr(wish, "release", 0)) if state is not None else None
    version = state.versions.get(release.candidate) if state is not None and release is not None else None
    if version is not None:
        command.correlation_id = version.commit


def order(model: str, release: resources.Release, verb: str, wish: Message) -> commands.Command:
    """The wish about a release as a command; `verb` is what tells it from every other wish about this release."""
    command = commands.Command(
        command_id=f"{release_name(model, release.release)}/{verb}", stream=model_stream(model), actor=ACTOR
    )
    getattr(command, _FIELD_OF[wish.DESCRIPTOR.full_name]).CopyFrom(wish)
    return command
