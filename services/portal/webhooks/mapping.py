"""Which declared repository a push is to, and which event it becomes. Pure."""

import re
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from headgate.client.change import Change, change_event
from headgate.domain.credentials import without_credentials
from headgate.log.envelope import CloudEvent
from services.portal.webhooks.delivery import Nothing, Push, Refused

MAX_MESSAGE_CHARACTERS = 10_000
COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_SCP = re.compile(r"(?:[\w.-]+@)?([\w.-]+|\[[0-9A-Fa-f:.]+\]):(?!//)(.+)")


@dataclass(frozen=True, slots=True)
class Repository:
    """What `headgate repository add` has declared: whose commits on which branch become versions of which model."""

    model: str
    url: str
    branch: str
    secret: str


@dataclass(frozen=True, slots=True)
class Taken:
    """The event of a push to a declared branch."""

    event: CloudEvent
    model: str
    commit: str
    is_forced: bool = False


def taken(push: Push, repositories: Sequence[Repository], at_ms: int) -> list[Taken | Nothing]:
    """What becomes of a push, for each model that has its repository. Raises Refused.

    `repositories` are those whose deliveries the proven secret may send, so nothing is told of others.
    """
    found = [each for each in repositories if is_same(each.url, push.repositories)]
    if not found:
        rule = "no model has this repository with this secret: headgate repository add URL --model MODEL"
        raise Refused(404, "unknown-repository", rule)
    if not COMMIT.fullmatch(push.commit):
        raise Refused(400, "malformed-delivery", "the commit: expected 40 or 64 characters of 0-9 and a-f")
    return [_taken(push, each, at_ms) for each in found]


def _taken(push: Push, repository: Repository, at_ms: int) -> Taken | Nothing:
    if push.branch != repository.branch:
        why = f"branch {push.branch[:200]!r} is not {repository.branch!r}, whose commits become versions"
        return Nothing(f"{why} of {repository.model}")
    message = without_credentials(push.message[:MAX_MESSAGE_CHARACTERS])
    change = Change(repository.model, repository.url, push.commit, message)
    event = change_event(change, event_id(repository, push.commit), source_of(repository.url), at_ms)
    return Taken(event, repository.model, push.commit, push.is_forced)


def event_id(repository: Repository, commit: str) -> str:
    """One commit of one repository is one event, however often and by whichever webhook it is delivered."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{repository.url}#{repository.model}@{commit}"))


def source_of(url: str) -> str:
    """The repository as the source of its events."""
    return url if "://" in url else f"webhook:{url}"


def is_same(declared: str, addresses: Iterable[str]) -> bool:
    """Whether one of the addresses is the declared one, in whatever form: HTTPS or SSH, with .git or without.

    An address without a host, /PROJECT/REPOSITORY, is the declared one when its path ends so.
    """
    host, path = _place(declared)
    for other_host, other_path in map(_place, addresses):
        if (host, path) == (other_host, other_path):
            return True
        if host and not other_host and other_path and path.endswith(other_path):
            return True
    return False


def _place(address: str) -> tuple[str, str]:
    """Host and path, without what differs between the forms of one address."""
    found = _SCP.fullmatch(address)
    if found and "://" not in address:
        host, path = found[1], "/" + found[2]
    else:
        try:
            parts = urlsplit(address)
            host, path = parts.hostname or "", unquote(parts.path)
        except ValueError:
            return "", ""
    return host.lower(), path.rstrip("/").removesuffix(".git").casefold()
