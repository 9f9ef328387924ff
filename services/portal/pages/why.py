"""Why: the facts that led to a version, to a release or to what serves, back to the commit, its data and people."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headgate.access.subject import SERVICE_PREFIX, SERVICES
from headgate.client.explanation import Cause
from services.portal.addresses import commit_url, resource_url
from services.portal.causes import END_OF_TIME_MS, Subject
from services.portal.page import Look, Page, no_such
from services.portal.pages.model import stream_of_model
from services.portal.sources import Sources

BAD = frozenset(
    (
        "training_failed",
        "evaluation_failed",
        "approval_denied",
        "candidate_quarantined",
        "rollback_started",
        "release_rolled_back",
        "release_rejected",
        "version_cancelled",
    )
)
"""Facts by which something did not go on."""
COMMIT = "commit "
MOST_SECONDS = 3600.0
"""The tree has no ages, so it changes with the state alone."""


@dataclass(frozen=True, slots=True)
class Node:
    """A cause. `kind` is what its dot says: resource, source, person, bad or fact."""

    words: str
    url: str
    name: str
    kind: str
    sequence: int
    time_ms: int
    actor: str
    proven_by: str
    causes: Sequence["Node"]


@dataclass(frozen=True, slots=True)
class WhyPage:
    """What the page shows. `commits`, `data` and `people` are the ends of the tree, each once."""

    model: str
    kind: str
    number: int
    root: Node
    commits: Sequence[Node]
    data: Sequence[Node]
    people: Sequence[str]
    facts: int
    command: str


def gather(sources: Sources, look: Look) -> Cause | None:
    """The tree. None where the viewer sees no such model, and where the subject is not there."""
    model = look.path["model"]
    with sources.reading(look.world):
        state = look.world.folded.models.get(model)
        is_seen = state is not None and look.viewer.sees(model)
    if not is_seen:
        return None
    return sources.causes.of(_subject(look.path), look.world.now_ms if look.world.is_past else END_OF_TIME_MS)


def why_page(look: Look) -> WhyPage:
    """The tree as it stands. Raises NoSuchPage."""
    model, kind, number = _subject(look.path)
    if look.gathered is None:
        what = f"{kind.removesuffix('s')} {number} of {model}" if kind else f"model {model}"
        raise no_such(what, look.world)
    root = _node(look.gathered)
    every = list(_flat(root))
    sources = {(each.words, each.name): each for each in every if each.kind == "source"}.values()
    return WhyPage(
        model=model,
        kind=kind,
        number=number,
        root=root,
        commits=[each for each in sources if each.words.startswith(COMMIT)],
        data=[each for each in sources if not each.words.startswith(COMMIT)],
        people=list(dict.fromkeys(each.actor for each in every if _is_outside(each.actor))),
        facts=sum(1 for each in every if each.sequence),
        command=_command(model, kind, number),
    )


def _subject(path: Mapping[str, Any]) -> Subject:
    for kind in ("version", "release"):
        if kind in path:
            return path["model"], f"{kind}s", path[kind]
    return path["model"], "", 0


def _node(cause: Cause) -> Node:
    fact = cause.fact
    return Node(
        words=cause.words,
        url=_url(cause),
        name="" if resource_url(cause.name) else cause.name,
        kind=_kind(cause),
        sequence=fact.sequence,
        time_ms=fact.occurred_at_ms,
        actor=_shown(fact.actor),
        proven_by=fact.proven_by,
        causes=[_node(each) for each in cause.causes],
    )


def _url(cause: Cause) -> str:
    """Of what stands for itself. A fact is about the resource above it, which has the link."""
    if cause.HasField("fact"):
        return ""
    repository, _, commit = cause.name.rpartition("@")
    is_commit = cause.words.startswith(COMMIT) and not commit.startswith("sha256:")
    return commit_url(repository, commit) if is_commit else resource_url(cause.name)


def _kind(cause: Cause) -> str:
    if not cause.HasField("fact"):
        return "resource" if resource_url(cause.name) else "source"
    if cause.fact.kind in BAD:
        return "bad"
    return "person" if _is_outside(cause.fact.actor) else "fact"


def _is_outside(actor: str) -> bool:
    """Whether somebody other than Headgate's own services acted: a person, or a program of theirs."""
    name = actor.removeprefix(SERVICE_PREFIX)
    is_service = name in SERVICES or (name.rpartition("-")[0] in SERVICES and name.rpartition("-")[2].isdecimal())
    return bool(actor) and not is_service


def _shown(actor: str) -> str:
    """A service by its own name alone."""
    return actor if _is_outside(actor) else actor.removeprefix(SERVICE_PREFIX)


def _flat(node: Node) -> Iterator[Node]:
    yield node
    for each in node.causes:
        yield from _flat(each)


def _command(model: str, kind: str, number: int) -> str:
    of = {"": model, "versions": f"{model}/{number}", "releases": f"{model}/{number} --release"}[kind]
    return f"headgate explain {of}"


def _page(path: str) -> Page:
    return Page(path, "why.html", why_page, gather, stream_of_model, MOST_SECONDS)


PAGES = tuple(
    _page(f"/models/{{model}}{subject}/why") for subject in ("", "/versions/{version:int}", "/releases/{release:int}")
)
