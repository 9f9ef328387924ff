"""The grants of a folded stream, and the sentences that explain them."""

import pytest

from headgate.access.decision import decide
from headgate.access.folded import explain, grants_of, subject_named, target_named
from headgate.access.grants import EVERYTHING, NONE, Target
from headgate.access.roles import Action, Role
from headgate.access.table import row_of
from headgate.domain.state import AccessState
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources

GET_MODEL = row_of("/headgate.v1.RegistryService/GetModel")
FRAUD = Target("fraud")


def state(*grants: resources.Grant, token: resources.Token | None = None) -> AccessState:
    tokens = {token.token: token} if token else {}
    return AccessState("default", 1, {each.grant: each for each in grants}, tokens)


def grant(role: int, subject: str = "ada", deny: bool = False, name: str = "g") -> resources.Grant:
    return resources.Grant(
        grant=name,
        subject=subject,
        role=role,  # type: ignore[arg-type]
        models="*",
        environments="*",
        deny=deny,
    )


def test_every_role_of_the_protos_is_a_role_with_rights():
    words = {name.removeprefix("ROLE_").lower() for name, _ in facts.Role.items()} - {"unspecified"}
    assert words == {role.value for role in Role}


def test_an_unknown_role_of_a_later_version_allows_nothing_and_denies_everything():
    assert decide(subject_named("ada"), grants_of(state(grant(99))), GET_MODEL, FRAUD) is not None
    held = state(grant(facts.ROLE_VIEWER, name="a"), grant(99, deny=True))
    assert decide(subject_named("ada"), grants_of(held), GET_MODEL, FRAUD) is not None


def test_a_token_gives_its_role_until_it_expires():
    token = resources.Token(token="ci", role=facts.ROLE_VIEWER, models="fraud", environments="*", expire_time_ms=1_000)
    subject = subject_named("token:ci")
    assert decide(subject, grants_of(state(token=token), at_ms=999), GET_MODEL, FRAUD) is None
    assert decide(subject, grants_of(state(token=token), at_ms=1_000), GET_MODEL, FRAUD) is not None


def test_the_administrators_of_the_settings_may_do_everything():
    grants = grants_of(state(), ["root@example.com"])
    assert decide(subject_named("root@example.com"), grants, GET_MODEL, EVERYTHING) is None


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("", EVERYTHING),
        ("models/fraud", Target("fraud")),
        ("models/fraud@production", Target("fraud", "production")),
        ("environments/production", Target(NONE, "production")),
        ("environments/production@x", None),
        ("models/", None),
        ("models/fraud@", None),
        ("fraud", None),
        ("models/fraud/versions/1", None),
    ],
)
def test_a_resource_is_named_as_on_the_command_line(text: str, target: Target | None):
    assert target_named(text) == target


def test_the_explanation_names_the_grant_or_the_roles_that_would_do():
    held = state(
        grant(facts.ROLE_OPERATOR, "group:risk", name="ops"), grant(facts.ROLE_PUBLISHER, deny=True, name="no")
    )
    grants, ada = grants_of(held), subject_named("ada", ["risk"])

    def sentence(action: Action) -> str:
        return explain(ada, grants, action, FRAUD, "models/fraud").sentence

    assert sentence(Action.RELEASE) == (
        "ada may release models/fraud: grant ops to group:risk gives operator for models * in environments *"
    )
    assert sentence(Action.PUBLISH) == (
        "ada may not publish models/fraud: grant no denies publisher for models * in environments *"
    )
    assert sentence(Action.APPROVE) == (
        "ada may not approve models/fraud: no grant covers it; roles that may: approver, administrator"
    )
