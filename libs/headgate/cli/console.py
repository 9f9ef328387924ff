"""`headgate console` prints a link that opens the web console once: with the caller's token, or over a file."""

import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated

import typer

from headgate.cli.exit_codes import Exit
from headgate.cli.files import local_path
from headgate.cli.printing import report, show_secret
from headgate.cli.session import HOME, HOST, CommandFailed, refuse_readable, running_console_port, session, usage
from headgate.client.tls import ClientTls
from headgate.domain.address import ADDRESS_RULE, is_address
from headgate.runtime.no_redirect import NoRedirect

DEFAULT_PORT = 7408
LINK_SECONDS = 10.0
MAX_BYTES = 4_096
PROGRAM, OF_FILE = "headgate.cli.program", "services.portal.exported"
"""What this process becomes when it shows a file."""
FILE_PREFIX = "HEADGATE_FILE_CONSOLE_"
LINKS = "/sign-in/links"
"""Where the console makes links. It answers the path of one."""


def show_console(
    context: typer.Context,
    portal: Annotated[
        str, typer.Option("--portal", envvar="HEADGATE_CONSOLE", help="host:port of the web console.")
    ] = "",
    log: Annotated[
        Path | None,
        typer.Option(
            "--log",
            parser=local_path,
            metavar="FILE",
            help="Show this file of `headgate log export`, without services.",
        ),
    ] = None,
    port: Annotated[
        int | None, typer.Option(min=0, max=65_535, help="With --log: the port on loopback; any free one without it.")
    ] = None,
) -> None:
    """Print a link to the web console that signs you in once, within ten minutes, as whoever the token names.

    With --log it serves a console over an exported log itself, on this machine alone, until Ctrl-C. Nothing can be
    changed there. Whoever opens the link first may read all of the file.
    """
    if log is not None:
        return _show_file(context, log, port or 0)
    if port is not None:
        usage("--port: only the console of --log opens a port")
    current = session(context)
    if portal and not is_address(portal):
        usage(f"--portal {portal!r}: {ADDRESS_RULE}")
    address = portal or f"{HOST}:{running_console_port(Path(HOME)) or DEFAULT_PORT}"
    if not current.stubs.token:
        report("without a token there is nothing to sign in with; this is the console's address")
        return show_secret(f"http{'s' if current.stubs.tls else ''}://{address}/")
    if current.stubs.tls is None:
        refuse_readable("--portal", address)
    show_secret(sign_in_link(address, current.stubs.token, current.stubs.tls))


def _show_file(context: typer.Context, log: Path, port: int) -> None:
    """This process becomes the console of the file, so whoever supervises the command supervises it."""
    source = context.get_parameter_source("portal")
    if source is not None and source.name == "COMMANDLINE":  # a variable of the environment is for other commands
        usage("--portal: with --log no other console is asked")
    if not log.is_file():
        raise CommandFailed(f"--log {log}: there is no such file", Exit.NOT_FOUND)
    environ = os.environ | {f"{FILE_PREFIX}LOG": f"file:{log.absolute()}", f"{FILE_PREFIX}PORT": str(port)}
    os.execve(sys.executable, [sys.executable, "-m", PROGRAM, OF_FILE], environ)  # nosec B606


def sign_in_link(address: str, token: str, tls: ClientTls | None) -> str:
    """A link that signs in once with this token. Raises CommandFailed."""
    origin = f"http{'s' if tls else ''}://{address}"
    context = tls.context() if tls else None
    request = urllib.request.Request(f"{origin}{LINKS}", b"", {"authorization": f"Bearer {token}"})
    try:
        with _opener(context).open(request, timeout=LINK_SECONDS) as answer:
            return f"{origin}{json.loads(answer.read(MAX_BYTES))['path']}"
    except urllib.error.HTTPError as error:
        with error:
            problem = f"the console at {address} does not take the token ({error.code})"
        raise CommandFailed(problem, Exit.FAILED) from error
    except OSError as error:
        reason = getattr(error, "reason", "") or error
        raise CommandFailed(f"the console at {address} does not answer: {reason}", Exit.UNAVAILABLE) from error
    except (ValueError, KeyError, TypeError) as error:
        raise CommandFailed(f"what answers at {address} is no console", Exit.FAILED) from error


def _opener(context: ssl.SSLContext | None) -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(NoRedirect, *([urllib.request.HTTPSHandler(context=context)] if context else []))
