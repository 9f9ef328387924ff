"""`headgate view`: checks the view in Redis, without asking any service."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from headgate.cli.exit_codes import Exit
from headgate.cli.printing import report, show
from headgate.cli.render import Format, Output, pairs, show_data
from headgate.cli.session import CommandFailed, session, usage
from headgate.domain.words import counted
from headgate.lifecycle.replay import fold_all
from headgate.log import topics

if TYPE_CHECKING:
    from headgate.view.redis.reader import RedisReader

TIMEOUT_SECONDS = 10.0
REBUILD_SECONDS = 120.0
POLL_SECONDS = 0.1

view = typer.Typer(help="The view in Redis that lists and searches read.", no_args_is_help=True)

Redis = Annotated[str, typer.Option(envvar="HEADGATE_REDIS", help="The view's Redis: redis://host:port/db.")]


@view.command("status")
def status(context: typer.Context, redis: Redis = "", output: Output = Format.TABLE) -> None:
    """Show the view's generation and how far it is behind the log."""
    with reading(redis) as reader, closing(session(context).open_log()) as log:
        found = reader.status()
        ends = log.end(topics.LIFECYCLE)
    if not found.generation:
        raise CommandFailed("there is no view yet: is a registry running with HEADGATE_REDIS?", Exit.NOT_FOUND)
    behind = {
        p: end - 1 - found.positions.get(p, -1) for p, end in ends.items() if end - 1 > found.positions.get(p, -1)
    }
    if output is Format.TABLE:
        facts = sum(sequence for sequence, _ in found.heads.values())
        shown = {"generation": found.generation, "streams": str(len(found.heads)), "facts": str(facts)}
        pairs({**shown, "behind": counted(sum(behind.values()), "record")})
    else:
        show_data({**found._asdict(), "heads": len(found.heads), "behind": behind}, output)


@view.command("verify")
def verify(context: typer.Context, redis: Redis = "") -> None:
    """Fold the log and compare every row of the view with it, byte for byte. Exit with 1 when rows differ."""
    with reading(redis) as reader, closing(session(context).open_log()) as log:
        from headgate.view.redis.comparison import compare

        equal, not_compared, differences = compare(reader, fold_all(log))
    for line in differences:
        show(line)
    show(f"equal to the log's state: {counted(equal, 'row')}")
    if not_compared:
        report(f"{counted(len(not_compared), 'stream')} not compared: changed meanwhile, or behind the log")
    if differences:
        raise typer.Exit(Exit.FAILED)


@view.command("rebuild")
def rebuild(redis: Redis = "") -> None:
    """Ask a registry to build the view again. The old view serves until the new one is complete."""
    with reading(redis) as reader:
        from headgate.view.redis.store import RedisStore

        old, store = reader.status().generation, RedisStore(redis)
        try:
            store.request_rebuild(int(REBUILD_SECONDS))
            deadline = time.monotonic() + REBUILD_SECONDS
            while (new := reader.status().generation) in (old, ""):
                if time.monotonic() > deadline:
                    problem = f"no registry built the view in {REBUILD_SECONDS:.0f} s: is one running with this Redis?"
                    raise CommandFailed(problem, Exit.UNAVAILABLE)
                time.sleep(POLL_SECONDS)
        finally:
            store.close()
    show(f"generation {new} serves now")


@contextmanager
def reading(url: str) -> "Iterator[RedisReader]":
    """A reader of the view in this Redis. Raises CommandFailed when Redis fails, also inside the block."""
    if not url:
        usage("no Redis is named: give --redis or set HEADGATE_REDIS")
    try:
        from headgate.runtime.redis_client import RedisUnavailable
        from headgate.view.redis.reader import RedisReader
    except ModuleNotFoundError as missing:
        raise CommandFailed(f"{missing.name} is not installed: install headgate[registry]") from None
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
