"""`headgate topics` shows the log's topics, makes those that are missing, and prints who may read and write them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Annotated

import typer

from headgate.cli.printing import show
from headgate.cli.render import Format, Output, Wide, show_rows
from headgate.cli.session import session, usage
from headgate.log.open import give_rights, is_embedded
from headgate.log.port import BROKER_DEFAULT, EventLog, Topic, TopicState, refuse_mismatch
from headgate.log.rights import RIGHTS, commands, strimzi_user
from headgate.log.topics import TOPICS

MAX_REPLICATION = 32_767
ACLS_OPTIONS = "# ACLS_OPTIONS has the options --bootstrap-server and, if needed, --command-config."
PRINCIPAL = "User:{name}"
"""The name of a principal with SCRAM. With certificates it is User:CN={name}, unless the brokers map it."""

topics = typer.Typer(help="The log's topics: the declared settings and the present ones.", no_args_is_help=True)

Replication = Annotated[
    int | None, typer.Option(min=1, max=MAX_REPLICATION, help="Copies of each record; by default the brokers decide.")
]
MinInsync = Annotated[
    int | None,
    typer.Option(min=1, max=MAX_REPLICATION, help="Copies that acknowledge a record; by default the brokers decide."),
]


@topics.command("list")
def list_topics(
    context: typer.Context,
    replication: Replication = None,
    min_insync: MinInsync = None,
    wide: Wide = False,
    output: Output = Format.TABLE,
) -> None:
    """Print each declared setting of each topic and the value found. Exit with 5 when some differ."""
    states = _with_log(context, lambda log, declared: log.describe_topics(declared), replication, min_insync)
    _show(states, output, wide)
    refuse_mismatch(states)


@topics.command("apply")
def apply(
    context: typer.Context,
    replication: Replication = None,
    min_insync: MinInsync = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would be done.")] = False,
) -> None:
    """Make the topics that are missing. Existing topics are not changed: when settings differ, exit with 5."""

    def create_missing(log: EventLog, declared: Sequence[Topic]) -> Sequence[TopicState]:
        states = log.describe_topics(declared)
        refuse_mismatch(states)
        if not dry_run:
            log.create_topics(declared)
        return states

    for state in _with_log(context, create_missing, replication, min_insync):
        settings = " ".join(f"{name}={value}" for name, value in state.declared.items())
        done = "is as declared" if state.exists else "would be created" if dry_run else "created"
        show(f"{state.name} {done}: {settings}")


class Form(StrEnum):
    COMMANDS = "commands"
    STRIMZI = "strimzi"


@topics.command("acls")
def print_acls(
    context: typer.Context,
    form: Annotated[Form, typer.Option(help="Lines of kafka-acls.sh, or KafkaUsers of Strimzi as YAML.")] = (
        Form.COMMANDS
    ),
    principal: Annotated[
        str, typer.Option(help="How Kafka names a service: {name} stands for registry, trainer and so on.")
    ] = PRINCIPAL,
    cluster: Annotated[str, typer.Option(help="The name of Strimzi's Kafka.")] = "headgate",
    apply: Annotated[
        bool, typer.Option("--apply", help="Give the rights to the principals now, as the user of --log.")
    ] = False,
) -> None:
    """Print the rights of each service on each topic, for Kafka's authorizer."""
    if "{name}" not in principal:
        usage(f"--principal is {principal!r}: expected a text with {{name}} in it, such as User:CN={{name}}")
    principals = {name: principal.replace("{name}", name) for name in RIGHTS}
    if apply:
        url = session(context).log_url
        if is_embedded(url):
            usage("--apply: the embedded log has no users; whoever may write its file may do everything")
        give_rights(url, principals)
        show("\n".join(f"{given} has the rights of {name}" for name, given in principals.items()))
    elif form is Form.STRIMZI:
        show("\n---\n".join(strimzi_user(name, cluster) for name in RIGHTS))
    else:
        show(
            "\n".join(
                line for name in RIGHTS for line in (f"# {RIGHTS[name].about}", *commands(name, principals[name]))
            )
        )


def _with_log(
    context: typer.Context,
    act: Callable[[EventLog, Sequence[Topic]], Sequence[TopicState]],
    replication: int | None,
    min_insync: int | None,
) -> Sequence[TopicState]:
    current = session(context)
    if is_embedded(current.log_url) and (replication or min_insync):
        usage("--replication, --min-insync: the embedded log keeps one copy of each record")
    if replication and min_insync and min_insync > replication:
        usage(f"--min-insync is {min_insync}: at most the {replication} copies of --replication can do so")
    log = current.open_log()
    try:
        return act(log, [_declared(topic, replication, min_insync) for topic in TOPICS])
    finally:
        log.close()


def _declared(topic: Topic, replication: int | None, min_insync: int | None) -> Topic:
    return replace(topic, replication=replication or BROKER_DEFAULT, min_insync=min_insync or BROKER_DEFAULT)


def _show(states: Sequence[TopicState], output: Format, wide: bool) -> None:
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
    show_rows(rows, output, wide)
