"""`headgate view`: the view in Redis, read without any service."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from headgate.cli.render import Format, Output, pairs, show_data
from headgate.cli.session import CommandFailed, Exit, progress, session, usage
from headgate.lifecycle.replay import fold_all
from headgate.log import topics

if TYPE_CHECKING:
    from headgate.view.redis.reader import RedisReader

TIMEOUT_SECONDS = 10.0
REBUILD_SECONDS = 120.0
POLL_SECONDS = 0.1

view = typer.Typer(help="The view in Redis that lists and searches read.", no_args_is_help=True)

Redis = Annotated[str, typer.Option(envvar="HEADGATE_REDIS", help="redis://host:port/db of the view.")]


@view.command("status")
def status(context: typer.Context, redis: Redis = "", output: Output = Format.TABLE) -> None:
    """Show the view's generation and how far it lies behind the log."""
    with reading(redis) as reader, closing(session(context).open_log()) as log:
        found = reader.status()
        ends = log.end(topics.LIFECYCLE)
    if not found.generation:
        raise CommandFailed("there is no view yet: does a registry run with HEADGATE_REDIS?", Exit.NOT_FOUND)
    behind = {
        p: end - 1 - found.positions.get(p, -1) for p, end in ends.items() if end - 1 > found.positions.get(p, -1)
    }
    if output is Format.TABLE:
        facts = sum(sequence for sequence, _ in found.heads.values())
        shown = {"generation": found.generation, "streams": str(len(found.heads)), "facts": str(facts)}
        pairs({**shown, "behind": f"{sum(behind.values())} records"})
    else:
        show_data({**found._asdict(), "heads": len(found.heads), "behind": behind}, output)


@view.command("verify")
def verify(context: typer.Context, redis: Redis = "") -> None:
    """Fold the log afresh and compare every row of the view, byte for byte; exit 1 names what differs."""
    with reading(redis) as reader, closing(session(context).open_log()) as log:
        from headgate.view.redis.comparison import compare

        equal, elsewhere, differences = compare(reader, fold_all(log))
    for line in differences:
        print(line)
    print(f"{equal} rows are what the log says")
    if elsewhere:
        progress.print(f"not compared, since they moved on meanwhile or lie behind: {len(elsewhere)} streams")
    if differences:
        raise typer.Exit(Exit.FAILED)


@view.command("rebuild")
def rebuild(redis: Redis = "") -> None:
    """Have a registry build the view anew beside the old one, which serves until it is done."""
    with reading(redis) as reader:
        from headgate.view.redis.store import RedisStore

        before, store = reader.status().generation, RedisStore(redis)
        try:
            store.ask_for_rebuild(int(REBUILD_SECONDS))
            end = time.monotonic() + REBUILD_SECONDS
            while (now := reader.status().generation) in (before, ""):
                if time.monotonic() > end:
                    rule = f"no registry built the view within {REBUILD_SECONDS:.0f} s: does one run on this Redis?"
                    raise CommandFailed(rule, Exit.UNAVAILABLE)
                time.sleep(POLL_SECONDS)
        finally:
            store.close()
    print(f"generation {now} serves")


@contextmanager
def reading(url: str) -> "Iterator[RedisReader]":
    """A reader of the view there. Raises CommandFailed, also for what fails inside."""
    if not url:
        usage("which Redis? Give --redis or set HEADGATE_REDIS")
    try:
        from headgate.runtime.redis_client import RedisUnavailable
        from headgate.view.redis.reader import RedisReader
    except ModuleNotFoundError as missing:
        raise CommandFailed(f"{missing.name} is not installed: it comes with headgate[registry]") from None
    try:
        reader = RedisReader(url, TIMEOUT_SECONDS)
    except ValueError as error:
        usage(f"--redis: {error}")
    try:
        yield reader
    except RedisUnavailable as error:
        raise CommandFailed(str(error), Exit.UNAVAILABLE) from None
    finally:
        reader.close()
