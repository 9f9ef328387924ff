"""The deployer's commands. The same step of the same release always has the same command id."""

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
    """The command for the release that the version's own configuration asks for."""
    requested = version.configuration.release
    return commands.Command(
        command_id=f"{version_name(model, version.version)}/release/{requested.environment}",
        stream=model_stream(model),
        actor=ACTOR,
        correlation_id=version.commit,
        start_release=commands.StartRelease(
            environment=requested.environment,
            candidate=version.version,
            strategy=requested.strategy,
            reason="the version passed its gate",
        ),
    )


def set_correlation_id(command: commands.Command, models: Mapping[str, ModelState]) -> None:
    """Sets the correlation id of a command about a release to the commit of its candidate."""
    payload = getattr(command, command.WhichOneof("command") or "")
    state = models.get(short_name(command.stream))
    release = state.releases.get(getattr(payload, "release", 0)) if state is not None else None
    version = state.versions.get(release.candidate) if state is not None and release is not None else None
    if version is not None:
        command.correlation_id = version.commit


def release_command(model: str, release: resources.Release, step: str, payload: Message) -> commands.Command:
    """The payload as a command about a release. `step` makes its id unique among the commands of this release."""
    command = commands.Command(
        command_id=f"{release_name(model, release.release)}/{step}", stream=model_stream(model), actor=ACTOR
    )
    getattr(command, _FIELD_OF[payload.DESCRIPTOR.full_name]).CopyFrom(payload)
    return command
