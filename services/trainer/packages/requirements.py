"""Reads a requirements.txt in which each package has one version and hashes. All else is refused by its line."""

import re
from collections.abc import Iterator

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from headgate.artifacts.store import digest
from services.trainer.packages.lock import Lock, Pin, checked, text_of

FILE = "requirements.txt"
COMPILE = "uv pip compile --generate-hashes requirements.in -o requirements.txt"
DIGITS_OF_HASH = {"sha256": 64, "sha384": 96, "sha512": 128}

COMMENT = re.compile(r"(^|\s)#.*$")
OPTION = re.compile(r"\s--?[a-z].*$")
HASH = re.compile(r"\s--hash[= ]\s*(\S+)")
EDITABLE = ("-e", "--editable")
FILES = ("-r", "--requirement", "-c", "--constraint")
INDEX = ("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--no-index", "--trusted-host", "--pypi-url")
ADDRESS = re.compile(r"(^|@\s*|\s)[a-z+]+:/", re.IGNORECASE)
FILE_NAME = re.compile(r"^[./~]|^[A-Za-z]:\\|\.(whl|tar\.gz|zip|tar\.bz2)\b")


def parse_requirements(content: bytes, file: str = FILE) -> Lock:
    """The packages of the file. Raises WrongLock with every fault."""
    pins, faults = [], []
    for line, text in logical_lines(text_of(file, content)):
        try:
            pins.append(pin_of(line, text))
        except ValueError as error:
            faults.append(f"{file}, line {line}: {error}")
    return checked(Lock(file, digest(content), tuple(pins), COMPILE), faults)


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Each line with its number, without comments; a line that ends with a backslash goes on in the next one."""
    begin, joined = 0, ""
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        begin = begin or number
        if line.endswith("\\") and not line.lstrip().startswith("#"):
            joined += line[:-1] + " "
            continue
        whole = COMMENT.sub("", joined + line).strip()
        if whole:
            yield begin, whole
        begin, joined = 0, ""


def pin_of(line: int, text: str, lock_it: str = COMPILE) -> Pin:
    """Raises ValueError with what is wrong and what to write."""
    if text.startswith("-"):
        raise ValueError(why_no_option(re.split(r"[\s=]", text)[0]))
    hashes = HASH.findall(text)
    without = HASH.sub("", text)
    option = OPTION.search(without)
    if option:
        raise ValueError(why_no_option(re.split(r"[\s=]", option[0].strip())[0]))
    if ADDRESS.search(without) or FILE_NAME.search(without):
        raise ValueError(
            f"{without} is an address or a file; packages come from the trainer's index:"
            " write NAME==VERSION with its --hash"
        )
    requirement = requirement_of(without)
    return Pin(
        line,
        canonicalize_name(requirement.name),
        version_of(requirement, lock_it),
        checked_hashes(requirement, hashes, lock_it),
        frozenset(requirement.extras),
        requirement.marker,
    )


def why_no_option(option: str) -> str:
    if option in EDITABLE:
        return (
            f"{option} names a folder that is built; a trainer installs wheels of its index: write NAME==VERSION."
            " `uv export --no-emit-project` leaves the repository's own project out"
        )
    if option in FILES:
        return f"{option} names another file; one file has every package, with hashes: `{COMPILE}` writes it"
    if option in INDEX:
        return f"{option}: where packages come from is a setting of the trainer's operator; remove this line"
    return f"the option {option} is not taken here, only --hash; remove it"


def requirement_of(text: str) -> Requirement:
    try:
        return Requirement(text)
    except InvalidRequirement as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"{text!r} is not a requirement: {reason}; write NAME==VERSION with its --hash") from error


def version_of(requirement: Requirement, lock_it: str) -> str:
    specifiers = list(requirement.specifier)
    if len(specifiers) != 1 or specifiers[0].operator != "==" or specifiers[0].version.endswith(".*"):
        raise ValueError(
            f"{requirement} does not say one version; write {requirement.name}==VERSION: `{lock_it}` writes it"
        )
    return specifiers[0].version


def checked_hashes(requirement: Requirement, hashes: list[str], lock_it: str) -> frozenset[str]:
    if not hashes:
        raise ValueError(f"{requirement.name} has no --hash; `{lock_it}` writes it if the index gives hashes")
    for each in hashes:
        algorithm, _, digits = each.partition(":")
        if len(digits) != DIGITS_OF_HASH.get(algorithm) or not re.fullmatch(r"[0-9a-f]+", digits):
            raise ValueError(
                f"{requirement.name}: {each} is not a sha256, sha384 or sha512 in hex digits; `{lock_it}` writes it"
            )
    return frozenset(hashes)
