"""The exit codes of the command line: one table of what they mean, and which failure has which code."""

from collections.abc import Mapping, Sequence
from enum import IntEnum

import grpc

from headgate.client.errors import Failure
from headgate.log.port import (
    AddressFileMissing,
    AddressInvalid,
    LogError,
    LogRefused,
    LogUnavailable,
    RecordTooLarge,
    TopicMismatch,
)


class Exit(IntEnum):
    """The exit codes that scripts can rely on."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    UNAVAILABLE = 4
    TOPICS_DIFFER = 5
    LOG_REFUSED = 6


MEANINGS: Mapping[Exit, str] = {
    Exit.OK: "done",
    Exit.FAILED: (
        "refused or failed, or what was checked or followed is not well, also a headgate.toml in `headgate check`"
    ),
    Exit.USAGE: "wrong input: an option, a name, a value, or what is in a file",
    Exit.NOT_FOUND: "not found: what the command names, its artifact, a file or a folder",
    Exit.UNAVAILABLE: "a service, the log, Redis or the artifact store cannot be reached",
    Exit.TOPICS_DIFFER: "the topics of the log differ from the declared ones",
    Exit.LOG_REFUSED: "the log refuses the credentials, or its certificate is not trusted",
}
"""What each code means, whichever command ends with it. `headgate --help` and docs/first-steps.md show this table."""

_STATUSES: Mapping[grpc.StatusCode, Exit] = {
    grpc.StatusCode.INVALID_ARGUMENT: Exit.USAGE,
    grpc.StatusCode.NOT_FOUND: Exit.NOT_FOUND,
    grpc.StatusCode.UNAVAILABLE: Exit.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: Exit.UNAVAILABLE,
    grpc.StatusCode.UNIMPLEMENTED: Exit.UNAVAILABLE,
}
_SLUGS: Mapping[str, Exit] = {"purged": Exit.NOT_FOUND, "not-trained": Exit.NOT_FOUND}
"""Refusals because an artifact is not there. Their status says only that the state forbids the call."""
_LOG_ERRORS: Sequence[tuple[type[LogError], Exit]] = (
    (TopicMismatch, Exit.TOPICS_DIFFER),
    (AddressFileMissing, Exit.NOT_FOUND),
    (AddressInvalid, Exit.USAGE),
    (RecordTooLarge, Exit.USAGE),
    (LogRefused, Exit.LOG_REFUSED),
    (LogUnavailable, Exit.UNAVAILABLE),
)


def code_of_call(failed: Failure) -> Exit:
    """The exit code after a failed call of a service."""
    return _SLUGS.get(failed.slug) or _STATUSES.get(failed.code, Exit.FAILED)


def code_of_log(error: LogError) -> Exit:
    """The exit code after an error of the log."""
    return next((code for kind, code in _LOG_ERRORS if isinstance(error, kind)), Exit.FAILED)


def code_of_file(error: OSError) -> Exit:
    """The exit code after a file or a folder could not be used."""
    if isinstance(error, FileNotFoundError):
        return Exit.NOT_FOUND
    return Exit.USAGE if isinstance(error, IsADirectoryError) else Exit.FAILED


def table() -> str:
    """The codes and their meanings, one on each line."""
    return "\n".join(f"  {code:d}  {meaning}" for code, meaning in MEANINGS.items())
