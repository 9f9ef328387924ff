"""`headgate explain` shows why something is as it is: the facts that led to it, back to the commit, data and people."""

from collections.abc import Iterator
from typing import Annotated

import typer

from headgate.cli.moments import At
from headgate.cli.printing import show
from headgate.cli.render import Format, Output, as_dict, show_data
from headgate.cli.session import full_name, model_name, numbered_version, release_name, session, usage
from headgate.client.stubs import TIMEOUT_SECONDS
from headgate.domain.printable import printable
from headgate.domain.words import time_text
from headgate.v1 import registry_service_pb2 as registry_service


def explain(
    context: typer.Context,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="fraud for what it serves, fraud/3 or fraud@champion for a version.")
    ],
    environment: Annotated[str, typer.Option("--environment", "-e", help="Only what a model serves there.")] = "",
    release: Annotated[bool, typer.Option("--release", help="NAME is a release: fraud/2 is release 2.")] = False,
    at: At = "",
    output: Output = Format.TABLE,
) -> None:
    """Say why a model serves what it serves, or why a version or a release is as it is.

    Each line follows from those below it. In JSON and YAML each fact has its stream, sequence, event id and time.
    """
    request = registry_service.ExplainRequest(name=_resource(context, name, release), environment=environment)
    if environment and not _is_model(request.name):
        usage("--environment: only a model serves in environments")
    found = session(context).stubs.registry.Explain(request, timeout=TIMEOUT_SECONDS)
    if output is Format.TABLE:
        show("\n".join(lines(found.cause)))
    else:
        show_data(as_dict(found.cause), output)


def lines(cause: registry_service.Cause, first: str = "", below: str = "") -> Iterator[str]:
    """The tree as text. `first` stands before the cause itself, `below` before the lines of its causes."""
    yield f"{first}{_line(cause)}"
    for at, each in enumerate(cause.causes, start=1):
        is_last = at == len(cause.causes)
        yield from lines(each, below + ("└─ " if is_last else "├─ "), below + ("   " if is_last else "│  "))


def _line(cause: registry_service.Cause) -> str:
    words = printable(cause.words)
    if not cause.HasField("fact"):
        return words
    fact = cause.fact
    by = f" by {printable(fact.actor)}" if fact.actor else ""
    return f"{words}  [fact {fact.sequence}, {time_text(fact.occurred_at_ms)}{by}]"


def _resource(context: typer.Context, name: str, release: bool) -> str:
    if release:
        return release_name(name)
    short = name.removeprefix("models/")
    if "/releases/" in short:
        return name
    if "/" in short or "@" in short:
        return numbered_version(context, name)
    return full_name("models", model_name(name))


def _is_model(name: str) -> bool:
    return name.count("/") == 1
