"""The operator's lists of repositories. An entry is an address, or the beginning of addresses when it ends with `/`."""

ANY = "*"
FORM = (
    "expected addresses of repositories with spaces between them, such as https://git.example.com/team/fraud,"
    " https://git.example.com/team/ for all below it, or * for every repository"
)


def listed(text: str) -> tuple[str, ...]:
    """The entries of a setting. Raises ValueError for one that could never be the address of a repository."""
    entries = tuple(text.split())
    for entry in entries:
        if (entry != ANY and not (entry.startswith("/") or ":" in entry)) or "*" in entry.strip(ANY) or "/../" in entry:
            raise ValueError(FORM)
    return entries


def is_listed(repository: str, entries: tuple[str, ...]) -> bool:
    """Whether an entry names the repository. An address that leads upwards is below nothing."""
    if ".." in repository.split("/") or "%" in repository:
        return repository in entries
    above = tuple(entry for entry in entries if entry.endswith("/"))
    return ANY in entries or repository in entries or repository.startswith(above)
