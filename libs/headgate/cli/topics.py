"""`headgate topics`: the topics of the log, as they are declared and as they are."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Annotated

import typer

from headgate.cli.render import Format, Output, show_rows
from headgate.cli.session import session, usage
from headgate.log.open import is_embedded
from headgate.log.port import BROKER_DEFAULT, EventLog, Topic, TopicState, refuse_mismatch
from headgate.log.topics import TOPICS

MAX_REPLICATION = 32_767

topics = typer.Typer(help="The topics of the log, as they are declared and as they are.", no_args_is_help=True)

Replication = Annotated[
    int | None, typer.Option(min=1, max=MAX_REPLICATION, help="Copies of each record; left to the brokers by default.")
]
MinInsync = Annotated[
    int | None,
    typer.Option(min=1, max=MAX_REPLICATION, help="Copies that acknowledge a record; the brokers' own by default."),
]


@topics.command("list")
def list_topics(
    context: typer.Context,
    replication: Replication = None,
    min_insync: MinInsync = None,
    output: Output = Format.TABLE,
) -> None:
    """Print each setting of each topic, declared and found; exit 5 when some differ."""
    states = _with_log(context, lambda log, declared: log.describe_topics(declared), replication, min_insync)
    _show(states, output)
    refuse_mismatch(states)


@topics.command("apply")
def apply(
    context: typer.Context,
    replication: Replication = None,
    min_insync: MinInsync = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
) -> None:
    """Make the topics that are missing. Nothing that exists is changed: exit 5 names every setting that differs."""

    def carry_out(log: EventLog, declared: Sequence[Topic]) -> Sequence[TopicState]:
        states = log.describe_topics(declared)
        refuse_mismatch(states)
        if not dry_run:
            log.create_topics(declared)
        return states

    for state in _with_log(context, carry_out, replication, min_insync):
        settings = " ".join(f"{name}={value}" for name, value in state.declared.items())
        done = "is as declared" if state.exists else "would be created" if dry_run else "created"
        print(f"{state.name} {done}: {settings}")


def _with_log(
    context: typer.Context,
    act: Callable[[EventLog, Sequence[Topic]], Sequence[TopicState]],
    replication: int | None,
    min_insync: int | None,
) -> Sequence[TopicState]:
    here = session(context)
    if is_embedded(here.log_url) and (replication or min_insync):
        usage("--replication, --min-insync: the embedded log keeps one copy")
    if replication and min_insync and min_insync > replication:
        usage(f"--min-insync is {min_insync}: at most the {replication} copies of --replication can acknowledge")
    log = here.open_log()
    try:
        return act(log, [_declared(topic, replication, min_insync) for topic in TOPICS])
    finally:
        log.close()


def _declared(topic: Topic, replication: int | None, min_insync: int | None) -> Topic:
    return replace(topic, replication=replication or BROKER_DEFAULT, min_insync=min_insync or BROKER_DEFAULT)


def _show(states: Sequence[TopicState], output: Format) -> None:
    rows = [
        {
            "topic": state.name,
            "setting": setting,
            "declared": state.declared.get(setting, ""),
            "found": state.found.get(setting, ""),
        }
        for state in states
        for setting in dict.fromkeys([*state.declared, *state.found])
    ]
    show_rows(rows, output)
