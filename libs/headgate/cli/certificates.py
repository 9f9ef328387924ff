"""`headgate certificates` makes an authority and the certificates by which services, people and devices are known."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from headgate.access.subject import SERVICES
from headgate.certificates.authority import LIFETIME, CertificateUnusable, broken_host_rule
from headgate.certificates.folder import CertificateFolder, Held
from headgate.certificates.holder import HOLDER_RULE, Holder, holder_of
from headgate.cli.files import local_path
from headgate.cli.printing import report
from headgate.cli.render import Format, Output, Wide, show_rows
from headgate.cli.session import CommandFailed, usage
from headgate.runtime.clock import utc_now

MAX_LIFETIME_DAYS = 825
"""What some clients of TLS take at most, such as those of macOS."""
RANKS = {"hosts": 3, "uri": 2, "file": 1}
"""What a narrow terminal leaves out first."""

certificates = typer.Typer(
    help="An authority, and the certificates by which services, people and devices are known.", no_args_is_help=True
)

Folder = Annotated[
    Path,
    typer.Argument(parser=local_path, metavar="FOLDER", help="The folder of authority.pem and of HOLDER/tls.pem."),
]
Holders = Annotated[
    list[str] | None,
    typer.Option("--for", metavar="HOLDER", help="A service, user/NAME or edge/DEVICE. May come several times."),
]


@certificates.command("create")
def create(
    folder: Folder,
    holders: Holders = None,
    hosts: Annotated[
        list[str] | None,
        typer.Option("--host", help="A name or address by which callers reach the holder. May come several times."),
    ] = None,
    days: Annotated[
        int, typer.Option(min=1, max=MAX_LIFETIME_DAYS, help="How long the certificates hold.")
    ] = LIFETIME.days,
    wide: Wide = False,
    output: Output = Format.TABLE,
) -> None:
    """Make certificates, by default one for each service. The first call also makes the authority, which is kept."""
    named, reached_by, now = _named(holders) or _named(SERVICES), _hosts(hosts), utc_now()
    CertificateFolder(folder).make()
    with _opened(folder) as opened:
        _refuse_present(opened, named)
        authority = opened.authority(now) if opened.has_authority() else opened.create_authority(now)
        made = [opened.issue(authority, each, each.hosts(reached_by), timedelta(days=days), now) for each in named]
    _show(made, now, output, wide)


@certificates.command("renew")
def renew(folder: Folder, holders: Holders = None, wide: Wide = False, output: Output = Format.TABLE) -> None:
    """Replace certificates by new ones for the same hosts: those of --for, by default those that end soon."""
    named, now = _named(holders), utc_now()
    with _opened(folder) as opened:
        made = opened.renew(opened.authority(now), now, named)
    _show(made, now, output, wide, f"no certificate in {folder} is due for renewal")


@certificates.command("show")
def show_all(folder: Folder, wide: Wide = False, output: Output = Format.TABLE) -> None:
    """Print the certificates of a folder: whom they name, how long they hold, and whether they should be renewed."""
    now = utc_now()
    with _opened(folder) as opened:
        authority = opened.authority(now)
        held = [opened.held(authority, each) for each in opened.holders()]
    report(f"the authority is trusted until {authority.ends_at:%Y-%m-%d}")
    _show(held, now, output, wide, f"there are no certificates in {folder}")


@contextmanager
def _opened(folder: Path) -> Iterator[CertificateFolder]:
    """The folder, for this process alone. Raises CommandFailed."""
    opened = CertificateFolder(folder)
    try:
        with opened.locked():
            yield opened
    except CertificateUnusable as error:
        raise CommandFailed(str(error)) from error


def _named(texts: Sequence[str] | None) -> list[Holder]:
    """Raises CommandFailed."""
    return [holder_of(text) or usage(f"--for {text!r}: {HOLDER_RULE}") for text in dict.fromkeys(texts or ())]


def _hosts(texts: Sequence[str] | None) -> tuple[str, ...]:
    """Raises CommandFailed."""
    for text in texts or ():
        if rule := broken_host_rule(text):
            usage(f"--host {text!r}: {rule}")
    return tuple(texts or ())


def _refuse_present(opened: CertificateFolder, named: Sequence[Holder]) -> None:
    present = [str(opened.pair_file(each)) for each in named if opened.pair_file(each).exists()]
    if present:
        raise CommandFailed(
            f"{', '.join(present)}: there is a certificate already. `headgate certificates renew` replaces it; for "
            "other hosts, delete the file first"
        )


def _show(held: Sequence[Held], now: datetime, output: Format, wide: bool, empty: str = "") -> None:
    rows = [
        {
            "holder": str(each.holder),
            "state": _state(each, now),
            "until": f"{each.certificate.ends_at:%Y-%m-%d %H:%M:%S}",
            "uri": each.certificate.uris[0] if each.certificate.uris else "",
            "hosts": " ".join(each.certificate.hosts),
            "file": str(each.file),
        }
        for each in held
    ]
    show_rows(rows, output, wide, empty, RANKS)


def _state(held: Held, now: datetime) -> str:
    if not held.is_trusted:
        return "of another authority"
    if held.certificate.has_ended(now):
        return "ended"
    return "due for renewal" if held.certificate.is_due(now) else "valid"
