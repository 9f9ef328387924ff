"""Makes HTML of templates. Every value is escaped, and every name must be there."""

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from headgate.domain.printable import printable
from headgate.domain.words import counted, duration_text, time_text
from headgate.domain.words import word_of as word_of_enum

FOLDER = Path(__file__).parent
STATIC = FOLDER / "static"
DIGEST_CHARACTERS = 12


@cache
def static_files() -> Mapping[str, bytes]:
    """The content of each file that browsers load, by its name. All are small, and no other file is ever sent."""
    found = (file for file in STATIC.rglob("*") if file.is_file())
    return {file.relative_to(STATIC).as_posix(): file.read_bytes() for file in found}


@cache
def static_url(name: str) -> str:
    """The address of such a file, which changes with its content: browsers keep it for a year."""
    digest = sha256(static_files()[name]).hexdigest()[:DIGEST_CHARACTERS]
    return f"/static/{digest}/{name}"


def shown_time(at_ms: int) -> Markup:
    """A time as UTC, which the browser turns into the reader's zone; a dash for 0."""
    if not at_ms:
        return Markup('<span class="faint">&ndash;</span>')
    text = time_text(at_ms)
    try:
        iso = datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError):
        return Markup("<span>{}</span>").format(text)
    return Markup('<time datetime="{}" title="{} UTC">{} UTC</time>').format(iso, text, text)


def shown_age(at_ms: int, now_ms: int) -> Markup:
    """How long ago, with the time on hover."""
    if not at_ms:
        return Markup('<span class="faint">&ndash;</span>')
    return Markup('<span title="{} UTC">{} ago</span>').format(time_text(at_ms), duration_text(now_ms - at_ms))


def number_text(value: float, digits: int = 4) -> str:
    """A measured number with as many digits as people compare."""
    return f"{value:.{digits}f}" if abs(value) < 1_000 else f"{value:,.1f}"


def percent_text(share: float) -> str:
    """A share as percent, with up to two digits."""
    return f"{share * 100:.2f}".rstrip("0").rstrip(".") + " %"


def _environment() -> Environment:
    found = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    found.filters |= {
        "age": shown_age,
        "bps": lambda bps: percent_text(bps / 10_000),
        "clean": printable,
        "duration": duration_text,
        "number": number_text,
        "percent": percent_text,
        "time": shown_time,
    }
    found.globals |= {"counted": counted, "static": static_url, "word_of": word_of_enum}
    return found


_TEMPLATES = _environment()


def render(template: str, values: Mapping[str, Any], *, whole: bool = True) -> str:
    """The HTML of a page; without `whole` only what stands in its <main>, for a page that is open already."""
    layout = _TEMPLATES.get_template("base.html" if whole else "main.html")
    return _TEMPLATES.get_template(template).render({**values, "layout": layout})
