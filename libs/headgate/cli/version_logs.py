"""`headgate version logs`: what the tests and the training of a version printed, as the trainer sends it."""

from typing import Annotated

import typer

from headgate.cli.models import VersionName
from headgate.cli.printing import report, show
from headgate.cli.session import numbered_version, session
from headgate.cli.waits import Waits
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.domain.names import in_words
from headgate.domain.words import word_of
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import worker_services_pb2 as worker_services


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
        report(_why_nothing(version, Waits(stubs)))


def _print_lines(begun: str, text: str, ends: bool) -> str:
    """Prints whole lines without control characters; returns the begun line that is left."""
    lines = (begun + text).splitlines(keepends=True)
    left = lines.pop() if lines and not ends and not lines[-1].endswith(("\n", "\r")) else ""
    for line in lines:
        show(line.rstrip("\r\n"))
    return left


def _why_nothing(version: resources.Version, waits: Waits) -> str:
    if wait := waits.of_version(version):
        return f"nothing is printed yet: {in_words(version.name)} waits for {wait}"
    why = "its attempts printed nothing, were cancelled or lost, or ran before logs were kept"
    return f"nothing is kept of {in_words(version.name)}: {why}"
