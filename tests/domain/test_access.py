"""The rules of grants and tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.domain import access
from headgate.domain.access import AccessCommand, decide, evolve, grant_name
from headgate.domain.refusal import ALREADY_EXISTS, INVALID, NOT_FOUND, Refused
from headgate.domain.state import AccessState, IllegalFact
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts

NOW_MS = 1_760_000_000_000
SECRETS = ("ab" * 32, "cd" * 32)


def grant(**terms: object) -> commands.GrantRole:
    known = {"grant": "g", "subject": "ada", "role": facts.ROLE_OPERATOR, "models": "*", "environments": "*"}
    return commands.GrantRole(**known | terms)  # type: ignore[arg-type]


def token(**terms: object) -> commands.CreateToken:
    known = {
        "token": "ci",
        "sha256": SECRETS[0],
        "role": facts.ROLE_PUBLISHER,
        "models": "fraud",
        "environments": "*",
        "expire_time_ms": NOW_MS + 1,
    }
    return commands.CreateToken(**known | terms)  # type: ignore[arg-type]


def after(*done: AccessCommand) -> AccessState:
    state = AccessState("default")
    for sequence, command in enumerate(done, 1):
        fact = decide(state, command, NOW_MS)
        assert fact is not None
        assert not isinstance(fact, Refused), fact
        record = facts.LifecycleRecord(sequence=sequence, actor="root", occurred_at_ms=NOW_MS)
        evolve(state, fact, record)
    return state


def refused(state: AccessState, command: AccessCommand) -> tuple[str, str]:
    outcome = decide(state, command, NOW_MS)
    assert isinstance(outcome, Refused), outcome
    return outcome.code, outcome.field


def test_a_grant_holds_until_it_is_revoked():
    state = after(grant(reason="on call"))
    held = state.grants["g"]
    assert (held.subject, held.role, held.granted_by, held.reason) == ("ada", facts.ROLE_OPERATOR, "root", "on call")
    assert after(grant(), commands.RevokeRole(grant="g")).grants == {}


def test_the_same_grant_again_changes_nothing_and_another_one_of_its_name_is_refused():
    state = after(grant())
    assert decide(state, grant(reason="again"), NOW_MS) is None
    assert refused(state, grant(role=facts.ROLE_VIEWER)) == (ALREADY_EXISTS, "grant")
    assert refused(state, grant(deny=True)) == (ALREADY_EXISTS, "grant")


def test_equal_grants_without_a_name_get_the_same_name():
    assert grant_name(grant(grant="")) == grant_name(grant(grant="x", reason="why"))
    assert grant_name(grant(models="fraud")) != grant_name(grant())
    assert grant_name(grant()).startswith("operator-")


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"grant": "No"}, "grant"),
        ({"subject": ""}, "subject"),
        ({"subject": "a b"}, "subject"),
        ({"subject": "a\n"}, "subject"),
        ({"subject": "x" * 257}, "subject"),
        ({"role": facts.ROLE_UNSPECIFIED}, "role"),
        ({"role": 99}, "role"),
        ({"models": ""}, "models"),
        ({"models": "fr*ud"}, "models"),
        ({"models": "**"}, "models"),
        ({"models": "team="}, "models"),
        ({"models": "../x"}, "models"),
        ({"models": ".*"}, "models"),
        ({"models": "a.b.*"}, "models"),
        ({"models": "default.fraud"}, "models"),
        ({"environments": "risk.*"}, "environments"),
        ({"environments": "team=risk"}, "environments"),
        ({"environments": ""}, "environments"),
        ({"subject": "anonymous"}, "role"),
        ({"reason": "x" * 5_000}, "reason"),
    ],
)
def test_a_grant_that_cannot_be_is_refused_with_its_field(terms: dict[str, object], field: str):
    assert refused(after(), grant(**terms)) == (INVALID, field)


@pytest.mark.parametrize(
    "models", ["*", "fraud", "fraud-*", "team=risk", "team=Risk & Fraud", "risk.*", "risk.fraud-*", "default.*"]
)
def test_a_grant_is_for_all_models_a_name_a_prefix_a_project_or_a_label(models: str):
    assert after(grant(models=models)).grants["g"].models == models


def test_everybody_may_be_allowed_to_predict():
    assert "g" in after(grant(subject="anonymous", role=facts.ROLE_PREDICTOR, models="iris")).grants


def test_a_token_holds_until_it_is_revoked_and_its_name_may_be_used_again():
    state = after(token())
    assert (state.tokens["ci"].created_by, state.tokens["ci"].sha256) == ("root", SECRETS[0])
    assert decide(state, token(), NOW_MS) is None
    assert refused(state, token(sha256=SECRETS[1])) == (ALREADY_EXISTS, "token")
    again = after(token(), commands.RevokeToken(token="ci"), token(sha256=SECRETS[1]))
    assert again.tokens["ci"].sha256 == SECRETS[1]


def test_a_new_token_takes_over_no_grant_that_was_given_to_its_name_before():
    held = grant(subject="token:ci")
    revoked = after(token(), held, commands.RevokeToken(token="ci"))
    for state in (revoked, after(held)):
        assert refused(state, token(sha256=SECRETS[1])) == (ALREADY_EXISTS, "token")
    assert decide(after(held, commands.RevokeRole(grant="g")), token(), NOW_MS) is not None


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"token": "No"}, "token"),
        ({"sha256": "secret"}, "sha256"),
        ({"sha256": "AB" * 32}, "sha256"),
        ({"expire_time_ms": 0}, "expire_time_ms"),
        ({"expire_time_ms": NOW_MS}, "expire_time_ms"),
        ({"expire_time_ms": NOW_MS + 401 * access.DAY_MS}, "expire_time_ms"),
        ({"role": facts.ROLE_UNSPECIFIED}, "role"),
        ({"models": "FRAUD"}, "models"),
    ],
)
def test_a_token_that_cannot_be_is_refused_with_its_field(terms: dict[str, object], field: str):
    assert refused(after(), token(**terms)) == (INVALID, field)


def test_two_tokens_never_share_a_secret():
    assert refused(after(token()), token(token="other")) == (INVALID, "sha256")


def test_what_was_never_made_cannot_be_revoked():
    assert refused(after(), commands.RevokeRole(grant="g")) == (NOT_FOUND, "grant")
    assert refused(after(), commands.RevokeToken(token="ci")) == (NOT_FOUND, "token")


def test_there_is_one_stream_of_access():
    assert refused(AccessState("other"), grant()) == (INVALID, "stream")


@pytest.mark.parametrize("at_most", ["MAX_GRANTS", "MAX_TOKENS"])
def test_the_numbers_of_grants_and_tokens_are_bounded(at_most: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(access, at_most, 1)
    if at_most == "MAX_GRANTS":
        assert refused(after(grant()), grant(grant="more")) == (INVALID, "grant")
    else:
        assert refused(after(token()), token(token="more", sha256=SECRETS[1])) == (INVALID, "token")


@pytest.mark.parametrize(
    "fact",
    [facts.RoleGranted(grant="g"), facts.TokenCreated(token="ci"), facts.RoleRevoked(grant="no")],
)
def test_an_accepted_fact_that_the_state_forbids_is_illegal(fact: access.AccessFact):
    with pytest.raises(IllegalFact):
        evolve(after(grant(), token()), fact, facts.LifecycleRecord(sequence=3))


NAMES = st.sampled_from(("a", "b"))
COMMANDS = st.one_of(
    st.builds(grant, grant=NAMES, role=st.sampled_from((facts.ROLE_VIEWER, facts.ROLE_OPERATOR))),
    st.builds(lambda name: commands.RevokeRole(grant=name), NAMES),
    st.builds(token, token=NAMES, sha256=st.sampled_from(SECRETS)),
    st.builds(lambda name: commands.RevokeToken(token=name), NAMES),
)


@given(st.lists(COMMANDS, max_size=12))
def test_every_decided_fact_folds_and_holds_afterwards(given_commands: list[AccessCommand]):
    state = AccessState("default")
    for sequence, command in enumerate(given_commands, 1):
        fact = decide(state, command, NOW_MS)
        if fact is None or isinstance(fact, Refused):
            continue
        evolve(state, fact, facts.LifecycleRecord(sequence=sequence))
        again = decide(state, command, NOW_MS)
        assert again is None or (isinstance(again, Refused) and again.code == NOT_FOUND)
    digests = [each.sha256 for each in state.tokens.values()]
    assert len(digests) == len(set(digests))
