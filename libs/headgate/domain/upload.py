"""What an imported version is made from: a file, its test rows, and a configuration, in place of a commit."""

from headgate.domain.names import SHA256
from headgate.domain.refusal import ALREADY_EXISTS, INVALID, Refused, invalid
from headgate.domain.repository import broken_download_rule
from headgate.domain.state import ModelState
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts

MAX_NAME_CHARACTERS = 256
KIND = "onnx"
"""The kind of code of every imported version."""


def decide_import(state: ModelState, command: commands.CreateVersion, message: str) -> facts.VersionCreated | Refused:
    """The next version, made from the upload; or a refusal."""
    if refused := wrong_upload(command, state.name):
        return refused
    built = state.built.get("", {}).get(what_is_uploaded(command.upload))
    if built is not None:
        rule = "the same file, rows and configuration can have only one version"
        return Refused(ALREADY_EXISTS, rule, f"{command.upload.file_name} is version {built}", "upload")
    number = len(state.versions) + 1
    return facts.VersionCreated(
        version=number, origin=facts.ORIGIN_IMPORT, commit_message=message, upload=command.upload
    )


def wrong_upload(command: commands.CreateVersion, model: str) -> Refused | None:
    """Why nothing can be imported by this command; None when it can."""
    upload, declared = command.upload, command.upload.configuration
    for field in ("model_sha256", "rows_sha256", *(("architecture_sha256",) if upload.architecture_sha256 else ())):
        digest = getattr(upload, field)
        if not SHA256.fullmatch(digest):
            return invalid(f"upload.{field}", digest, "an uploaded file has a SHA-256 of 64 hex digits")
    for field in ("uri", "rows_uri"):
        uri = getattr(upload, field)
        if uri and (rule := broken_download_rule(uri)):
            return Refused(INVALID, rule, f"upload.{field}: expected {rule}", f"upload.{field}")
    if command.repository or command.commit:
        return invalid("commit", command.commit, "a version comes from a commit or from an upload, not from both")
    if declared.model != model or declared.code.kind != KIND:
        found = f"{declared.model} of the kind {declared.code.kind or 'torch'}"
        return invalid("upload.configuration", found, f"it must be about the model {model}, and of the kind {KIND}")
    if len(upload.file_name) > MAX_NAME_CHARACTERS or len(upload.answers) > MAX_NAME_CHARACTERS:
        return invalid("upload", "too long", f"the names of an upload have at most {MAX_NAME_CHARACTERS} characters")
    return None


def what_is_uploaded(upload: facts.Upload) -> str:
    """What makes one upload another than any other."""
    parts = [upload.model_sha256, upload.rows_sha256, upload.answers, upload.configuration.digest.hex()]
    return "/".join([*parts, *filter(None, [upload.architecture_sha256])])
