"""Which code runs in a jail, which without one, and which not at all."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.jail.decision import AsTrusted, InJail, JailSettings, NotRun, decide
from headgate.jail.repositories import is_listed, listed

PROBLEM = "this machine has no jail, because the program bwrap is not there: install bubblewrap"
REPOSITORY = "https://git.example.com/team/fraud"


@pytest.mark.parametrize(
    ("entry", "repository", "is_in"),
    [
        (REPOSITORY, REPOSITORY, True),
        (REPOSITORY, REPOSITORY + "-2", False),
        ("https://git.example.com/team/", REPOSITORY, True),
        ("https://git.example.com/team/", "https://git.example.com/teams/fraud", False),
        ("https://git.example.com/team/", "https://git.example.com/team/../other/fraud", False),
        ("https://git.example.com/team/", "https://git.example.com/team/%2e%2e/other/fraud", False),
        ("/repositories/", "/repositories/fraud", True),
        ("/repositories/", "/repositories/../etc", False),
        ("*", "git@git.example.com:fraud", True),
    ],
)
def test_an_entry_names_one_repository_or_all_below_it(entry: str, repository: str, is_in: bool) -> None:
    assert is_listed(repository, listed(f"{entry} https://other.example.com/x")) is is_in


@pytest.mark.parametrize("text", ["fraud", "https://*.example.com/", "https://git.example.com/a/../b", "**"])
def test_an_entry_that_could_name_no_repository_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected addresses of repositories with spaces between them"):
        listed(text)


@given(st.text(), st.lists(st.sampled_from([REPOSITORY, "https://git.example.com/", "*"])))
def test_where_there_is_a_jail_everything_runs_in_it(repository: str, trusted: list[str]) -> None:
    decision = decide(repository, JailSettings(trusted=tuple(trusted)), problem="")
    assert decision == InJail(has_network=False)


def test_only_a_listed_repository_has_a_network_in_its_jail() -> None:
    settings = JailSettings(network=("https://git.example.com/team/",))
    assert decide(REPOSITORY, settings, "") == InJail(has_network=True)
    assert decide("https://git.example.com/other", settings, "") == InJail(has_network=False)


def test_without_a_jail_only_trusted_repositories_run_and_the_refusal_says_what_to_do() -> None:
    settings = JailSettings(trusted=(REPOSITORY,), network=("*",))
    assert decide(REPOSITORY, settings, PROBLEM) == AsTrusted()
    refused = decide("https://git.example.com/other", settings, PROBLEM)
    assert isinstance(refused, NotRun)
    assert refused.reason == (
        f"the code of https://git.example.com/other is not run: {PROBLEM}. Or the operator names the repository in"
        " HEADGATE_TRUSTED_REPOSITORIES: then its code runs as the trainer's own user, and a bad commit can do what the"
        " trainer can"
    )


def test_an_imported_file_needs_nobodys_trust_because_it_brings_no_code() -> None:
    assert decide("", JailSettings(), PROBLEM) == AsTrusted()
