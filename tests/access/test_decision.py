"""Who may do what, by grants and the row of the method."""

from hypothesis import given
from hypothesis import strategies as st

from headgate.access.decision import Reason, decide, deciding_grant
from headgate.access.grants import ALL, ANONYMOUS, EVERYTHING, NONE, Bound, Grant, Grants, Target
from headgate.access.roles import RIGHTS, Role
from headgate.access.subject import NOBODY, How, Kind, Subject, service_subject, subject_of_certificate
from headgate.access.table import TABLE, Row, Scope, row_of

ADA = Subject("ada", Kind.PERSON, How.JWT, ("risk",))
FRAUD = Target("fraud", NONE, {"team": "risk"})
IN_PRODUCTION = Target("fraud", "production", {"team": "risk"})
GET_MODEL, CREATE_VERSION, LIST_MODELS, FOLD_DIGEST, PROMOTE, ABORT_RELEASE, INFER, LOG_TIME = (
    row_of(path)
    for path in (
        "/headgate.v1.RegistryService/GetModel",
        "/headgate.v1.RegistryService/CreateVersion",
        "/headgate.v1.RegistryService/ListModels",
        "/headgate.v1.RegistryService/GetFoldDigest",
        "/headgate.v1.ReleaseService/PromoteRelease",
        "/headgate.v1.ReleaseService/AbortRelease",
        "/inference.GRPCInferenceService/ModelInfer",
        "/headgate.v1.RegistryService/GetLogTime",
    )
)


def grant(role: Role, models: str = ALL, environments: str = ALL, subject: str = "ada", deny: bool = False) -> Grant:
    return Grant(f"{subject}-{role.value}", subject, role, Bound(models), Bound(environments), deny)


def reason(row: Row, target: Target, *grants: Grant, subject: Subject = ADA) -> Reason | None:
    return decide(subject, Grants(grants), row, target)


def test_without_a_grant_nothing_is_allowed():
    assert reason(GET_MODEL, FRAUD) is Reason.NO_GRANT
    assert reason(GET_MODEL, FRAUD, grant(Role.ADMINISTRATOR, subject="bob")) is Reason.NO_GRANT


def test_a_grant_for_every_device_holds_for_each_certificate_of_a_device():
    follow = row_of("/headgate.v1.EdgeService/WatchRoutes")
    here, there = Target(NONE, "production"), Target(NONE, "staging")
    fleet = grant(Role.DEVICE, environments="production", subject="spiffe://headgate/edge/*")
    device = subject_of_certificate(("spiffe://headgate/edge/press-4",))
    assert reason(follow, here, fleet, subject=device) is None
    assert reason(follow, there, fleet, subject=device) is Reason.NO_GRANT
    assert reason(follow, here, fleet) is Reason.NO_GRANT


def test_a_role_allows_its_actions_and_no_larger_ones():
    viewer = grant(Role.VIEWER)
    assert reason(GET_MODEL, FRAUD, viewer) is None
    assert reason(CREATE_VERSION, FRAUD, viewer) is Reason.NO_GRANT
    assert reason(CREATE_VERSION, FRAUD, grant(Role.PUBLISHER)) is None


def test_a_grant_holds_for_a_model_a_prefix_or_a_label():
    for models in ("fraud", "fr*", "team=risk", ALL):
        assert reason(GET_MODEL, FRAUD, grant(Role.VIEWER, models)) is None
    for models in ("fraud-2", "churn*", "team=growth", "team=", "=risk"):
        assert reason(GET_MODEL, FRAUD, grant(Role.VIEWER, models)) is Reason.NO_GRANT


def test_a_grant_for_an_environment_holds_for_releases_into_it_alone():
    staging, production = (grant(Role.OPERATOR, environments=name) for name in ("staging", "production"))
    assert reason(PROMOTE, IN_PRODUCTION, production) is None
    assert reason(PROMOTE, IN_PRODUCTION, staging) is Reason.NO_GRANT
    assert reason(GET_MODEL, FRAUD, production) is Reason.NO_GRANT, "a model is in no environment"


def test_a_list_needs_a_grant_for_something_and_a_digest_of_all_one_for_everything():
    for viewer in (grant(Role.VIEWER, "fraud"), grant(Role.VIEWER, "f*"), grant(Role.VIEWER)):
        assert reason(LIST_MODELS, Target(), viewer) is None
    assert reason(LIST_MODELS, Target()) is Reason.NO_GRANT
    assert reason(LIST_MODELS, Target(), grant(Role.PREDICTOR)) is Reason.NO_GRANT
    assert reason(FOLD_DIGEST, EVERYTHING, grant(Role.VIEWER, "f*")) is Reason.NO_GRANT
    assert reason(FOLD_DIGEST, EVERYTHING, grant(Role.VIEWER)) is None


def test_a_deny_overrides_every_allow_and_takes_only_what_its_role_adds():
    held = (grant(Role.ADMINISTRATOR), grant(Role.PUBLISHER, "fraud", deny=True))
    assert reason(CREATE_VERSION, FRAUD, *held) is Reason.DENIED
    assert reason(GET_MODEL, FRAUD, *held) is None
    assert reason(CREATE_VERSION, Target("churn"), *held) is None


def test_a_deny_of_one_model_leaves_the_list_and_forbids_the_digest_of_all():
    held = (grant(Role.VIEWER), grant(Role.VIEWER, "fraud", deny=True))
    assert reason(LIST_MODELS, Target(), *held) is None
    assert reason(FOLD_DIGEST, EVERYTHING, *held) is Reason.DENIED
    assert reason(LIST_MODELS, Target(), grant(Role.VIEWER), grant(Role.VIEWER, deny=True)) is Reason.DENIED


def test_a_group_holds_grants_for_its_members():
    held = (grant(Role.VIEWER, subject="group:risk"), grant(Role.PUBLISHER, subject="group:growth"))
    assert reason(GET_MODEL, FRAUD, *held) is None
    assert reason(CREATE_VERSION, FRAUD, *held) is Reason.NO_GRANT
    assert reason(GET_MODEL, FRAUD, *held, grant(Role.VIEWER, subject="group:risk", deny=True)) is Reason.DENIED


def test_a_public_model_answers_everybody_and_no_other_model_does():
    public = grant(Role.PREDICTOR, "fraud", subject=ANONYMOUS)
    for subject in (NOBODY, ADA):
        assert reason(INFER, IN_PRODUCTION, public, subject=subject) is None
    assert reason(INFER, Target("churn", "production"), public, subject=NOBODY) is Reason.UNPROVEN
    assert reason(INFER, Target("churn", "production"), public) is Reason.NO_GRANT


def test_a_service_reads_and_aborts_and_never_moves_a_release_past_a_gate():
    deployer = service_subject("deployer")
    assert reason(GET_MODEL, FRAUD, subject=deployer) is None
    assert reason(ABORT_RELEASE, IN_PRODUCTION, subject=deployer) is None
    assert reason(PROMOTE, IN_PRODUCTION, subject=deployer) is Reason.NO_GRANT


def test_a_call_about_nothing_in_particular_needs_its_action_somewhere():
    assert reason(LOG_TIME, Target(), grant(Role.VIEWER, "fraud")) is None
    assert reason(LOG_TIME, Target(), grant(Role.PREDICTOR)) is Reason.NO_GRANT


NAMES = st.sampled_from(("fraud", "churn"))
BOUNDS = st.sampled_from((ALL, "fraud", "churn", "fr*", "team=risk"))
TARGETS = st.builds(
    Target,
    st.sampled_from((NONE, ALL, "fraud", "churn")),
    st.sampled_from((NONE, ALL, "production", "staging")),
    st.sampled_from(({}, {"team": "risk"})),
)
SUBJECTS = st.sampled_from((ADA, NOBODY, service_subject("trainer"), Subject("bob", Kind.MACHINE, How.TOKEN)))
GRANTS = st.lists(
    st.builds(
        Grant,
        st.just("g"),
        st.sampled_from(("ada", "bob", "group:risk", ANONYMOUS)),
        st.sampled_from(Role),
        st.builds(Bound, BOUNDS),
        st.builds(Bound, st.sampled_from((ALL, "production", "stag*"))),
        st.booleans(),
    ),
    max_size=6,
)
ROWS = st.sampled_from(sorted(TABLE.values(), key=repr))


@given(SUBJECTS, GRANTS, GRANTS, ROWS, TARGETS)
def test_more_denies_never_allow_and_more_allows_never_deny(
    subject: Subject, held: list[Grant], more: list[Grant], row: Row, target: Target
):
    before = decide(subject, Grants(held), row, target)
    denied = decide(subject, Grants([*held, *(each for each in more if each.deny)]), row, target)
    allowed = decide(subject, Grants([*held, *(each for each in more if not each.deny)]), row, target)
    assert before is None or denied is not None
    assert before is not None or allowed is None
    assert allowed is not Reason.DENIED or before is Reason.DENIED


@given(SUBJECTS, GRANTS, ROWS, TARGETS)
def test_a_decision_is_what_its_definition_says(subject: Subject, held: list[Grant], row: Row, target: Target):
    grants = Grants(held)
    mine = grants.of(subject)
    rights = [(each, RIGHTS[each.role]) for each in mine]
    denied = any(each.deny and row.action in right.own and each.touches(target) for each, right in rights)
    shows = row.scope is Scope.ANYWHERE or (row.scope in (Scope.VISIBLE, Scope.STREAMS) and target == Target())
    allowed = any(
        not each.deny and row.action in right.own | right.also and (shows or each.covers(target))
        for each, right in rights
    )
    got = decide(subject, grants, row, target)
    assert (got is None) == (row.scope is Scope.OPEN or (allowed and not denied))
    decided_by = deciding_grant(subject, grants, row, target)
    assert (decided_by is not None) == (denied or allowed)
    assert decided_by is None or decided_by.deny == denied


@given(GRANTS, ROWS, TARGETS)
def test_who_may_do_something_with_everything_may_do_it_with_each(held: list[Grant], row: Row, target: Target):
    if decide(ADA, Grants(held), row, EVERYTHING) is None:
        assert decide(ADA, Grants(held), row, target) is None


@given(GRANTS, ROWS, TARGETS)
def test_nobody_may_do_what_the_anonymous_may_not(held: list[Grant], row: Row, target: Target):
    if decide(NOBODY, Grants(held), row, target) is None:
        assert row.scope is Scope.OPEN or any(each.subject == ANONYMOUS for each in held)
