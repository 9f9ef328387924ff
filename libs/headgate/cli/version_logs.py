"""`headgate version logs`: what the tests and the training of a version printed, as the trainer sends it."""

from typing import Annotated

import typer

from headgate.cli.models import VersionName
from headgate.cli.printing import report, show
from headgate.cli.session import numbered_version, session
from headgate.cli.waits import Waits
from headgate.client.stubs import TIMEOUT_SECONDS, Stubs
from headgate.domain.names import in_words, version_name
from headgate.domain.words import word_of
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services

BEFORE_ITS_LOGS = (
    resources.BUILD_STATE_CREATED,
    resources.BUILD_STATE_TESTING,
    resources.BUILD_STATE_TRAINING,
)
FAILED_BEFORE_ITS_LOGS = (
    resources.BUILD_STATE_CHECKOUT_FAILED,
    resources.BUILD_STATE_CONFIGURATION_FAILED,
    resources.BUILD_STATE_DATA_FAILED,
)
"""Stages that run no code of the commit."""


def show_logs(
    context: typer.Context,
    name: VersionName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the running attempt ends.")] = False,
) -> None:
    """Print what the tests and the training of a version printed, of each attempt. It is kept until the purge."""
    stubs = session(context).stubs
    full = numbered_version(context, name)
    version = stubs.registry.GetVersion(registry_service.GetVersionRequest(name=full), timeout=TIMEOUT_SECONDS)
    request = worker_services.WatchLogsRequest(name=full, follow=follow)
    shown: tuple[int, int] | None = None
    open_line = ""
    for part in stubs.trainer.WatchLogs(request, timeout=None if follow else TIMEOUT_SECONDS):
        if shown != (part.attempt, part.stage):
            open_line = _print_lines(open_line, "", ends=True)
            show(f"--- attempt {part.attempt}: {word_of(facts.Stage, part.stage)}")
            shown = (part.attempt, part.stage)
        open_line = _print_lines(open_line, part.text, ends=False)
    _print_lines(open_line, "", ends=True)
    if shown is None:
        report(_nothing_yet(version, Waits(stubs)) or why_nothing(version, _knows_attempt(stubs, version)))


def _print_lines(begun: str, text: str, ends: bool) -> str:
    """Prints whole lines without control characters; returns the begun line that is left."""
    lines = (begun + text).splitlines(keepends=True)
    left = lines.pop() if lines and not ends and not lines[-1].endswith(("\n", "\r")) else ""
    for line in lines:
        show(line.rstrip("\r\n"))
    return left


def _nothing_yet(version: resources.Version, waits: Waits) -> str:
    wait = waits.of_version(version) if version.build in BEFORE_ITS_LOGS else ""
    return f"nothing is printed yet: {in_words(version.name)} waits for {wait}" if wait else ""


def _knows_attempt(stubs: Stubs, version: resources.Version) -> bool:
    """Whether the trainer that was asked has run the last attempt at the version, and has not started again since."""
    request = worker_services.ListAttemptsRequest()
    attempts = stubs.trainer.ListAttempts(request, timeout=TIMEOUT_SECONDS).attempts
    wanted = (version.name, version.attempt)
    return any((version_name(each.model, each.version), each.attempt) == wanted for each in attempts)


def why_nothing(version: resources.Version, knows_attempt: bool) -> str:
    """Why a version whose attempts have ended has no log to show.

    `knows_attempt` says whether the trainer that was asked has run the last attempt: it alone keeps the end of what an
    attempt without a report printed.
    """
    name = in_words(version.name)
    if not version.attempt:
        return f"{name} was cancelled before a trainer began with it"
    if version.logs:
        stages = " and ".join(dict.fromkeys(word_of(facts.Stage, log.stage) for log in version.logs))
        return f"{name} printed nothing in its {stages}"
    if version.HasField("upload"):
        return f"{name} was imported, so it has no tests and no training that print"
    if version.build in FAILED_BEFORE_ITS_LOGS:
        return f"{name} failed before its tests and printed nothing: `headgate version get` shows why it failed"
    attempt = f"attempt {version.attempt} at {name}"
    if version.build == resources.BUILD_STATE_CANCELLED and knows_attempt:
        return f"{attempt} was cancelled before its tests printed anything"
    if version.build in (resources.BUILD_STATE_CANCELLED, resources.BUILD_STATE_TRAINING_FAILED):
        return f"{attempt} ended without a report, and its trainer kept what it printed only until it started again"
    return f"{attempt} ran under a version of Headgate that kept no logs"
