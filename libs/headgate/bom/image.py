"""The bill of materials of an image: the Python packages and the Debian packages that are installed in it.

    python -m headgate.bom.image headgate/registry > sbom.cdx.json

services/Dockerfile runs it last, so that every image carries its own bill.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, distributions, version
from pathlib import Path

from headgate.bom.document import Json, debian_package, document, python_package

DEBIAN_STATUS = Path("/var/lib/dpkg/status")
MAX_LICENCE_CHARACTERS = 100
"""Some packages give the whole text of their licence in place of its name."""


def image_bom(name: str, release: str, python: Sequence[Json], debian: Sequence[Json]) -> str:
    subject: Json = {"type": "container", "bom-ref": f"image:{name}", "name": name, "version": release}
    return document(subject, [*python, *debian])


def python_packages(found: Iterator[Distribution] | Sequence[Distribution]) -> list[Json]:
    """Each package once, in the order of the names. The first of two with one name is the one that Python imports."""
    named = {_normal(each.name): each for each in reversed(list(found))}
    return [python_package(name, each.version, _licence(each)) for name, each in sorted(named.items())]


def debian_packages(status: str) -> list[Json]:
    """The installed packages, read out of the text of dpkg's status file (deb-control(5))."""
    return [debian_package(*found) for found in sorted(_installed(status))]


def _installed(status: str) -> Iterator[tuple[str, str, str]]:
    for paragraph in status.split("\n\n"):
        fields = dict(re.findall(r"^(Package|Status|Version|Architecture): (.*)$", paragraph, re.MULTILINE))
        if fields.get("Status", "").endswith(" installed"):
            yield fields["Package"], fields["Version"], fields["Architecture"]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _licence(found: Distribution) -> str:
    fields = found.metadata.json
    text = str(fields.get("license_expression") or fields.get("license") or "")
    return "" if "\n" in text or len(text) > MAX_LICENCE_CHARACTERS else text


def main(arguments: list[str]) -> int:
    """Prints the bill of this machine. Returns the exit code."""
    if len(arguments) != 1:
        print("give the name of the image: python -m headgate.bom.image headgate/registry", file=sys.stderr)
        return 2
    debian = DEBIAN_STATUS.read_text() if DEBIAN_STATUS.is_file() else ""
    print(image_bom(arguments[0], version("headgate"), python_packages(list(distributions())), debian_packages(debian)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
