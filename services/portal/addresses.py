"""Where a browser finds a commit. Pure."""

from urllib.parse import quote, urlsplit

from headgate.domain.names import split_numbered

_PLACES = (("gitlab", "/-/commit/"), ("bitbucket", "/commits/"))
"""Where a forge shows a commit, by a word in its host's name. GitHub, Gitea and Forgejo have /commit/."""


def commit_url(repository: str, commit: str) -> str:
    """The page of a commit at its forge; empty for a repository that no browser can open."""
    try:
        parts = urlsplit(repository)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return ""
    if parts.scheme != "https" or not host or not commit:
        return ""
    place = next((place for word, place in _PLACES if word in host), "/commit/")
    path = quote(parts.path.rstrip("/").removesuffix(".git"))
    # Made of its parts again, so that a name and a password in the address stay out of the page.
    return f"https://{host}{f':{port}' if port else ''}{path}{place}{quote(commit, safe='')}"


def resource_url(name: str) -> str:
    """The page of a model, version or release by its resource name; empty for what has none."""
    if split_numbered(name, "versions") or split_numbered(name, "releases"):
        return f"/{name}"
    kind, _, model = name.partition("/")
    return f"/{name}" if kind == "models" and model and "/" not in model else ""
