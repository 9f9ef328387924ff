"""What the deliveries of each sender say: pushes to branches and merges into them. Pure.

Sources, each sender's own page of payloads: docs.github.com "Webhook events and payloads"; docs.gitlab.com "Webhook
events"; docs.gitea.com "Webhooks"; support.atlassian.com "Event payloads"; confluence.atlassian.com "Event payload".
"""

from collections.abc import Callable, Mapping

from services.portal.webhooks.delivery import Delivery, Nothing, Payload, Push, malformed, payload_of

Said = list[Push | Nothing]
BRANCH = "refs/heads/"
MAX_CHANGES = 100
"""How many branches one push may change."""


def said_by(sender: str, delivery: Delivery) -> Said:
    """What a proven delivery says. Raises Refused."""
    said = _READERS[sender](delivery)
    return said or [Nothing("this delivery names no branch")]


def _github(delivery: Delivery) -> Said:
    return _by_event(delivery, delivery.header("x-github-event"), "x-github-event")


def _gitea(delivery: Delivery) -> Said:
    event = delivery.header("x-gitea-event") or delivery.header("x-forgejo-event")
    return _by_event(delivery, event, "x-gitea-event")


def _by_event(delivery: Delivery, event: str, header: str) -> Said:
    """GitHub's form, which Gitea and Forgejo have too."""
    body = payload_of(delivery.body)
    if not event:
        raise malformed(f"{header}: this header is missing")
    if event == "push":
        return [_pushed(body)]
    if event == "pull_request":
        return [_pull_request(body)]
    return [Nothing("ping: the address and the secret are right" if event == "ping" else _other(event))]


def _pushed(body: Payload) -> Push | Nothing:
    commit = body.text("after", needed=True)
    branch = _branch(body.text("ref", needed=True))
    if body.flag("deleted") or _is_zero(commit):
        return Nothing(f"branch {branch} was deleted" if branch else "a tag was deleted")
    if not branch:
        return Nothing("a tag was pushed, and no branch")
    return Push(_addresses(body), branch, commit, body.text("head_commit.message"), body.flag("forced"))


def _pull_request(body: Payload) -> Push | Nothing:
    if body.text("action") != "closed" or not body.flag("pull_request.merged"):
        return Nothing("this pull request was not merged")
    commit = body.text("pull_request.merge_commit_sha", needed=True)
    branch = body.text("pull_request.base.ref", needed=True)
    return Push(_addresses(body), branch, commit, body.text("pull_request.title"))


def _addresses(body: Payload) -> tuple[str, ...]:
    return _needed(body.texts(*(f"repository.{key}" for key in ("clone_url", "ssh_url", "html_url", "git_url"))))


def _gitlab(delivery: Delivery) -> Said:
    body = payload_of(delivery.body)
    kind = body.text("object_kind") or body.text("event_name")
    if kind == "push":
        return [_gitlab_push(body)]
    if kind == "merge_request":
        return [_gitlab_merge(body)]
    return [Nothing(_other(kind or delivery.header("x-gitlab-event")))]


def _gitlab_push(body: Payload) -> Push | Nothing:
    branch, commit = _branch(body.text("ref", needed=True)), body.text("after", needed=True)
    if _is_zero(commit):
        return Nothing(f"branch {branch} was deleted")
    messages = [each.text("message") for each in body.parts("commits") if each.text("id") == commit]
    return Push(_gitlab_addresses(body), branch, commit, next(iter(messages), ""))


def _gitlab_merge(body: Payload) -> Push | Nothing:
    if body.text("object_attributes.action") != "merge":
        return Nothing("this merge request was not merged")
    places = (f"object_attributes.{key}" for key in ("merge_commit_sha", "squash_commit_sha", "last_commit.id"))
    commits = body.texts(*places)
    if not commits:
        raise malformed("object_attributes.merge_commit_sha: expected text, got null")
    branch = body.text("object_attributes.target_branch", needed=True)
    return Push(_gitlab_addresses(body), branch, commits[0], body.text("object_attributes.title"))


def _gitlab_addresses(body: Payload) -> tuple[str, ...]:
    return _needed(body.texts(*(f"project.{key}" for key in ("git_http_url", "git_ssh_url", "web_url"))))


def _bitbucket(delivery: Delivery) -> Said:
    event = delivery.header("x-event-key")
    read = _BITBUCKET.get(event)
    if read is None:
        ping = event == "diagnostics:ping"
        return [Nothing("ping: the address and the secret are right" if ping else _other(event))]
    return read(payload_of(delivery.body))


def _cloud_push(body: Payload) -> Said:
    addresses = _needed(body.texts("repository.links.html.href"))
    return [_cloud_change(change, addresses) for change in _bounded(body.parts("push.changes"))]


def _cloud_change(change: Payload, addresses: tuple[str, ...]) -> Push | Nothing:
    if not change.has("new"):
        return Nothing(f"branch {change.text('old.name')} was deleted")
    if change.text("new.type") != "branch":
        return Nothing("a tag was pushed, and no branch")
    branch, commit = change.text("new.name", needed=True), change.text("new.target.hash", needed=True)
    return Push(addresses, branch, commit, change.text("new.target.message"), change.flag("forced"))


def _cloud_merge(body: Payload) -> Said:
    branch = body.text("pullrequest.destination.branch.name", needed=True)
    commit = body.text("pullrequest.merge_commit.hash", needed=True)
    return [Push(_needed(body.texts("repository.links.html.href")), branch, commit, body.text("pullrequest.title"))]


def _data_center_push(body: Payload) -> Said:
    addresses = _data_center_addresses(body, "repository")
    return [_data_center_change(change, addresses) for change in _bounded(body.parts("changes"))]


def _data_center_change(change: Payload, addresses: tuple[str, ...]) -> Push | Nothing:
    branch = change.text("ref.displayId", needed=True)
    if change.text("type") == "DELETE":
        return Nothing(f"branch {branch} was deleted")
    if change.text("ref.type") != "BRANCH":
        return Nothing("a tag was pushed, and no branch")
    return Push(addresses, branch, change.text("toHash", needed=True))


def _data_center_merge(body: Payload) -> Said:
    branch = body.text("pullRequest.toRef.displayId", needed=True)
    commit = body.text("pullRequest.properties.mergeCommit.id", needed=True)
    addresses = _data_center_addresses(body, "pullRequest.toRef.repository")
    return [Push(addresses, branch, commit, body.text("pullRequest.title"))]


def _data_center_addresses(body: Payload, place: str) -> tuple[str, ...]:
    """Those of cloning; without them the repository is known by its project and its name alone."""
    links = tuple(each.text("href") for each in body.parts(f"{place}.links.clone"))
    key, slug = body.text(f"{place}.project.key", needed=True), body.text(f"{place}.slug", needed=True)
    return tuple(filter(None, links)) or (f"/{key}/{slug}",)


def _generic(delivery: Delivery) -> Said:
    """Our own form: {"repository": URL, "branch": NAME, "commit": SHA, "message": TEXT, "forced": true}."""
    body = payload_of(delivery.body)
    repository, branch = body.text("repository", needed=True), body.text("branch", needed=True)
    commit = body.text("commit", needed=True)
    return [Push((repository,), branch, commit, body.text("message"), body.flag("forced"))]


def _needed(addresses: tuple[str, ...]) -> tuple[str, ...]:
    if not addresses:
        raise malformed("the repository: expected its address, got none")
    return addresses


def _bounded(changes: list[Payload]) -> list[Payload]:
    if len(changes) > MAX_CHANGES:
        raise malformed(f"{len(changes)} branches: expected at most {MAX_CHANGES} in one delivery")
    return changes


def _branch(ref: str) -> str:
    """The name of the branch; empty for a tag."""
    return ref.removeprefix(BRANCH) if ref.startswith(BRANCH) else ""


def _is_zero(commit: str) -> bool:
    return not commit.strip("0")


def _other(event: str) -> str:
    return f"{event[:80] or 'this event'!r} is neither a push nor a merge"


_BITBUCKET: Mapping[str, Callable[[Payload], Said]] = {
    "repo:push": _cloud_push,
    "pullrequest:fulfilled": _cloud_merge,
    "repo:refs_changed": _data_center_push,
    "pr:merged": _data_center_merge,
}
_READERS: Mapping[str, Callable[[Delivery], Said]] = {
    "github": _github,
    "gitlab": _gitlab,
    "gitea": _gitea,
    "bitbucket": _bitbucket,
    "generic": _generic,
}
