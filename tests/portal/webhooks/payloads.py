"""Deliveries in the shapes that each sender documents, written anew for these tests."""

import base64
import hmac
import json
from typing import Any

from services.portal.webhooks.delivery import Delivery

AT_MS = 1_790_000_000_000
SECRET = "a-secret-of-the-operator"
COMMIT = "0d1a26e67d8f5eaf1f6ba5c57fc3c7d91ac0fd1c"
BEFORE = "95790bf891e76fee5e1747ab589903a6a1f80f22"
URL = "https://git.example.org/acme/fraud.git"
ZERO = "0" * 40

GITHUB_REPOSITORY = {
    "id": 35129377,
    "name": "fraud",
    "full_name": "acme/fraud",
    "private": True,
    "html_url": "https://git.example.org/acme/fraud",
    "clone_url": URL,
    "git_url": "git://git.example.org/acme/fraud.git",
    "ssh_url": "git@git.example.org:acme/fraud.git",
    "default_branch": "main",
}


def github_push(**changed: Any) -> dict[str, Any]:
    return {
        "ref": "refs/heads/main",
        "before": BEFORE,
        "after": COMMIT,
        "created": False,
        "deleted": False,
        "forced": False,
        "base_ref": None,
        "compare": "https://git.example.org/acme/fraud/compare/95790bf891e7...0d1a26e67d8f",
        "commits": [{"id": COMMIT, "message": "Weigh the classes", "distinct": True}],
        "head_commit": {"id": COMMIT, "message": "Weigh the classes"},
        "repository": GITHUB_REPOSITORY,
        "pusher": {"name": "ada", "email": "ada@example.org"},
    } | changed


def github_merge(**changed: Any) -> dict[str, Any]:
    return {
        "action": "closed",
        "number": 7,
        "pull_request": {
            "merged": True,
            "title": "Weigh the classes",
            "merge_commit_sha": COMMIT,
            "base": {"ref": "main", "sha": BEFORE},
            "head": {"ref": "classes"},
        },
        "repository": GITHUB_REPOSITORY,
    } | changed


GITLAB_PROJECT = {
    "id": 15,
    "name": "fraud",
    "web_url": "https://git.example.org/acme/fraud",
    "git_ssh_url": "git@git.example.org:acme/fraud.git",
    "git_http_url": URL,
    "path_with_namespace": "acme/fraud",
    "default_branch": "main",
}


def gitlab_push(**changed: Any) -> dict[str, Any]:
    return {
        "object_kind": "push",
        "event_name": "push",
        "before": BEFORE,
        "after": COMMIT,
        "ref": "refs/heads/main",
        "ref_protected": True,
        "checkout_sha": COMMIT,
        "project": GITLAB_PROJECT,
        "commits": [{"id": COMMIT, "message": "Weigh the classes", "title": "Weigh the classes"}],
        "total_commits_count": 1,
    } | changed


def gitlab_merge(**changed: Any) -> dict[str, Any]:
    return {
        "object_kind": "merge_request",
        "event_type": "merge_request",
        "project": GITLAB_PROJECT,
        "object_attributes": {
            "action": "merge",
            "state": "merged",
            "title": "Weigh the classes",
            "target_branch": "main",
            "source_branch": "classes",
            "merge_commit_sha": COMMIT,
            "last_commit": {"id": BEFORE},
        },
    } | changed


def cloud_push(**changed: Any) -> dict[str, Any]:
    change = {
        "forced": False,
        "created": False,
        "closed": False,
        "truncated": False,
        "old": {"type": "branch", "name": "main", "target": {"type": "commit", "hash": BEFORE}},
        "new": {
            "type": "branch",
            "name": "main",
            "target": {"type": "commit", "hash": COMMIT, "message": "Weigh the classes"},
        },
    } | changed
    return {"push": {"changes": [change]}, "repository": CLOUD_REPOSITORY}


CLOUD_REPOSITORY = {
    "type": "repository",
    "full_name": "acme/fraud",
    "links": {"html": {"href": "https://git.example.org/acme/fraud"}},
}


def cloud_merge() -> dict[str, Any]:
    return {
        "pullrequest": {
            "title": "Weigh the classes",
            "state": "MERGED",
            "merge_commit": {"hash": COMMIT},
            "destination": {"branch": {"name": "main"}, "commit": {"hash": BEFORE}},
        },
        "repository": CLOUD_REPOSITORY,
    }


def data_center_repository(links: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"slug": "fraud", "id": 84, "name": "fraud", "project": {"key": "ACME", "id": 84}}
    if links:
        found["links"] = {"clone": [{"href": "ssh://git@git.example.org:7999/acme/fraud.git", "name": "ssh"}]}
    return found


def data_center_push(links: bool = True, **changed: Any) -> dict[str, Any]:
    change = {
        "ref": {"id": "refs/heads/main", "displayId": "main", "type": "BRANCH"},
        "refId": "refs/heads/main",
        "fromHash": BEFORE,
        "toHash": COMMIT,
        "type": "UPDATE",
    } | changed
    return {"eventKey": "repo:refs_changed", "repository": data_center_repository(links), "changes": [change]}


def data_center_merge() -> dict[str, Any]:
    return {
        "eventKey": "pr:merged",
        "pullRequest": {
            "title": "Weigh the classes",
            "toRef": {"id": "refs/heads/main", "displayId": "main", "repository": data_center_repository(True)},
            "properties": {"mergeCommit": {"displayId": COMMIT[:11], "id": COMMIT}},
        },
    }


GENERIC = {"repository": URL, "branch": "main", "commit": COMMIT, "message": "Weigh the classes"}

PUSHES = [
    ("github", {"x-github-event": "push"}, github_push()),
    ("github", {"x-github-event": "pull_request"}, github_merge()),
    ("gitea", {"x-gitea-event": "push"}, github_push()),
    ("gitea", {"x-forgejo-event": "push"}, github_push()),
    ("gitea", {"x-gitea-event": "pull_request"}, github_merge()),
    ("gitlab", {"x-gitlab-event": "Push Hook"}, gitlab_push()),
    ("gitlab", {"x-gitlab-event": "Merge Request Hook"}, gitlab_merge()),
    ("bitbucket", {"x-event-key": "repo:push"}, cloud_push()),
    ("bitbucket", {"x-event-key": "pullrequest:fulfilled"}, cloud_merge()),
    ("bitbucket", {"x-event-key": "repo:refs_changed"}, data_center_push()),
    ("bitbucket", {"x-event-key": "repo:refs_changed"}, data_center_push(links=False)),
    ("bitbucket", {"x-event-key": "pr:merged"}, data_center_merge()),
    ("generic", {}, GENERIC),
]
"""Each says that main of the repository has the commit: the sender, its headers and its body."""


def signed(sender: str, body: bytes, secret: str = SECRET, at_ms: int = AT_MS) -> dict[str, str]:
    """The headers by which a sender proves a body, by its own way."""
    digest = hmac.digest(secret.encode(), body, "sha256").hex()
    match sender:
        case "github":
            return {"x-hub-signature-256": f"sha256={digest}", "x-github-delivery": "72d3162e-cc78-11e3"}
        case "gitea":
            return {"x-gitea-signature": digest}
        case "bitbucket":
            return {"x-hub-signature": f"sha256={digest}"}
        case "gitlab":
            return {"x-gitlab-token": secret}
        case _:
            return standard(body, secret, at_ms)


def standard(body: bytes, secret: str = SECRET, at_ms: int = AT_MS, identity: str = "msg_2") -> dict[str, str]:
    """Standard Webhooks."""
    key = base64.b64decode(secret[6:]) if secret.startswith("whsec_") else secret.encode()
    seconds = str(at_ms // 1000)
    signature = base64.b64encode(hmac.digest(key, f"{identity}.{seconds}.".encode() + body, "sha256")).decode()
    return {"webhook-id": identity, "webhook-timestamp": seconds, "webhook-signature": f"v1,{signature}"}


def delivery(sender: str, headers: dict[str, str], payload: Any, secret: str = SECRET) -> Delivery:
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return Delivery({**signed(sender, body, secret), **headers}, body, AT_MS)
