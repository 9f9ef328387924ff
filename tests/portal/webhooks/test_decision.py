"""What becomes of a delivery."""

import json
from dataclasses import replace

import pytest

from headgate.domain.change_merged import merged_change
from headgate.domain.state import ModelState
from headgate.log.upstream import broken_rule
from headgate.v1 import configuration_pb2 as configuration
from services.portal.webhooks.decision import decide, proven
from services.portal.webhooks.delivery import Delivery, Nothing, Refused
from services.portal.webhooks.mapping import Repository, Taken, is_same
from services.portal.webhooks.signatures import TOLERANCE_MS
from tests.portal.webhooks.payloads import (
    AT_MS,
    COMMIT,
    GENERIC,
    PUSHES,
    SECRET,
    URL,
    ZERO,
    cloud_push,
    data_center_push,
    delivery,
    github_merge,
    github_push,
    gitlab_merge,
    gitlab_push,
    standard,
)

FRAUD = Repository("fraud", URL, "main", "acme")


def decided(sender, given, secrets=(SECRET,), repositories=(FRAUD,), models=None):
    return decide(proven(sender, given, secrets), repositories, models or {}, given.at_ms)


def refusal(sender, given, **how) -> Refused:
    with pytest.raises(Refused) as caught:
        decided(sender, given, **how)
    return caught.value


@pytest.mark.parametrize(("sender", "headers", "payload"), PUSHES)
def test_a_push_to_the_declared_branch_becomes_an_event(sender, headers, payload):
    (found,) = decided(sender, delivery(sender, headers, payload))
    assert isinstance(found, Taken)
    assert broken_rule(found.event) == ""
    change = merged_change(json.loads(found.event.data))
    assert (change.model, change.repository, change.commit) == ("fraud", URL, COMMIT)
    assert change.message in ("Weigh the classes", "")


def test_one_commit_is_one_event_by_whichever_webhook_it_comes():
    ids = {decided(sender, delivery(sender, headers, body))[0].event.id for sender, headers, body in PUSHES}
    assert len(ids) == 1


@pytest.mark.parametrize(("sender", "headers", "payload"), PUSHES)
def test_a_forged_delivery_is_refused_before_it_is_read(sender, headers, payload):
    for forged in (b"{", json.dumps(payload).encode()):
        wrong = delivery(sender, headers, forged, secret="another-secret-than-this")
        assert refusal(sender, wrong).http == 401
    body = json.dumps(payload).encode()
    changed = replace(delivery(sender, headers, body), body=body + b" ")
    if sender != "gitlab":  # its token says nothing of the body
        assert refusal(sender, changed).http == 401
    assert refusal(sender, Delivery(headers, body, AT_MS)).http == 401


@pytest.mark.parametrize(("sender", "headers", "payload"), PUSHES)
def test_an_address_without_a_secret_answers_as_to_a_forged_delivery(sender, headers, payload):
    unknown = refusal(sender, delivery(sender, headers, payload, secret=""), secrets=())
    forged = refusal(sender, delivery(sender, headers, payload, secret="another-secret-than-this"))
    assert (unknown.http, unknown.slug, unknown.rule) == (forged.http, forged.slug, forged.rule)


def test_the_old_and_the_new_secret_hold_while_one_is_replaced():
    for secret in ("the-old-secret-of-it", "the-new-secret-of-it"):
        given = delivery("github", {"x-github-event": "push"}, github_push(), secret)
        assert isinstance(decided("github", given, ("the-old-secret-of-it", "the-new-secret-of-it"))[0], Taken)


def test_another_senders_proof_is_none():
    body = json.dumps(github_push()).encode()
    bare = Delivery({"x-github-event": "push", "authorization": f"Bearer {SECRET}"}, body, AT_MS)
    assert refusal("github", bare).http == 401
    sha1 = Delivery({"x-event-key": "repo:push", "x-hub-signature": "sha1=" + "0" * 40}, body, AT_MS)
    assert refusal("bitbucket", sha1).http == 401


WHSEC = "whsec_dGVzdHRlc3R0ZXN0dGVzdHRlc3R0ZXN0dGVzdHRlc3Q="


def test_gitlab_signs_by_standard_webhooks_and_its_signing_token_is_never_taken_in_plain():
    body = json.dumps(gitlab_push()).encode()
    assert isinstance(decided("gitlab", Delivery(standard(body, WHSEC), body, AT_MS), (WHSEC,))[0], Taken)
    assert refusal("gitlab", Delivery({"x-gitlab-token": WHSEC}, body, AT_MS), secrets=(WHSEC,)).http == 401


@pytest.mark.parametrize("late_ms", [TOLERANCE_MS + 1_000, -TOLERANCE_MS - 1_000])
def test_a_signed_time_is_within_some_minutes_of_ours(late_ms):
    body = json.dumps(GENERIC).encode()
    assert refusal("generic", Delivery(standard(body), body, AT_MS + late_ms)).slug == "stale-delivery"


def test_one_of_several_signatures_is_enough():
    body = json.dumps(GENERIC).encode()
    headers = standard(body)
    headers["webhook-signature"] = f"v1,AAAA v1a,BBBB {headers['webhook-signature']}"
    assert isinstance(decided("generic", Delivery(headers, body, AT_MS))[0], Taken)


def test_a_signature_counts_for_its_id_and_its_time_alone():
    body = json.dumps(GENERIC).encode()
    for name in ("webhook-id", "webhook-timestamp"):
        headers = standard(body) | {name: "1790000001"}
        assert refusal("generic", Delivery(headers, body, AT_MS)).http == 401


@pytest.mark.parametrize(
    ("sender", "headers", "payload", "why"),
    [
        ("github", {"x-github-event": "ping"}, {"zen": "Keep it logically awesome.", "hook_id": 1}, "ping"),
        ("github", {"x-github-event": "issues"}, {"action": "opened"}, "neither"),
        ("github", {"x-github-event": "push"}, github_push(ref="refs/heads/next"), "'next' is not 'main'"),
        ("github", {"x-github-event": "push"}, github_push(ref="refs/tags/v1"), "tag"),
        ("github", {"x-github-event": "push"}, github_push(after=ZERO, deleted=True), "deleted"),
        ("github", {"x-github-event": "pull_request"}, github_merge(action="opened"), "not merged"),
        ("gitea", {"x-gitea-event": "push"}, github_push(ref="refs/heads/next"), "is not"),
        ("gitlab", {}, gitlab_push(ref="refs/heads/next"), "is not"),
        ("gitlab", {}, gitlab_push(after=ZERO), "deleted"),
        ("gitlab", {}, gitlab_push(object_kind="tag_push", ref="refs/tags/v1"), "neither"),
        ("gitlab", {}, gitlab_merge(object_attributes={"action": "open"}), "not merged"),
        ("bitbucket", {"x-event-key": "diagnostics:ping"}, {"test": True}, "ping"),
        ("bitbucket", {"x-event-key": "repo:push"}, cloud_push(new=None), "deleted"),
        ("bitbucket", {"x-event-key": "repo:push"}, cloud_push(new={"type": "tag", "name": "v1"}), "tag"),
        ("bitbucket", {"x-event-key": "repo:refs_changed"}, data_center_push(type="DELETE", toHash=ZERO), "deleted"),
        ("bitbucket", {"x-event-key": "repo:fork"}, {}, "neither"),
    ],
)  # fmt: skip
def test_what_changes_no_declared_branch_is_nothing_and_says_why(sender, headers, payload, why):
    (found,) = decided(sender, delivery(sender, headers, payload))
    assert isinstance(found, Nothing)
    assert why in found.why


@pytest.mark.parametrize(
    ("sender", "headers", "payload"),
    [
        ("github", {"x-github-event": "push"}, github_push(forced=True)),
        ("bitbucket", {"x-event-key": "repo:push"}, cloud_push(forced=True)),
        ("generic", {}, GENERIC | {"forced": True}),
    ],
)
def test_a_force_push_says_so(sender, headers, payload):
    (found,) = decided(sender, delivery(sender, headers, payload))
    assert isinstance(found, Taken)
    assert found.is_forced


def test_an_unknown_repository_is_a_clear_404_that_names_no_other():
    given = delivery("github", {"x-github-event": "push"}, github_push())
    other = Repository("churn", "https://git.example.org/acme/churn.git", "main", "acme")
    found = refusal("github", given, repositories=(other,))
    assert (found.http, "churn" in found.rule) == (404, False)


def test_a_repository_of_two_models_makes_an_event_for_each():
    both = (FRAUD, Repository("risk.fraud", URL, "main", "acme"), Repository("old", URL, "legacy", "acme"))
    found = decided("github", delivery("github", {"x-github-event": "push"}, github_push()), repositories=both)
    assert [each.model for each in found if isinstance(each, Taken)] == ["fraud", "risk.fraud"]
    assert [each.why for each in found if isinstance(each, Nothing)]
    assert len({each.event.id for each in found if isinstance(each, Taken)}) == 2


@pytest.mark.parametrize(
    ("payload", "rule"),
    [
        (b"\xff", "0xff"),
        (b"[" * 10_000, "nesting"),
        (b"[]", "JSON object"),
        (b'{"after": NaN}', "NaN"),
        (github_push(ref=7), "ref: expected text"),
        (github_push(after="main"), "40 or 64"),
        (github_push(repository={}), "address"),
        (github_push(repository=[]), "address"),
        (github_push(head_commit={"message": 5}), "head_commit.message"),
    ],
)
def test_a_proven_delivery_of_another_form_is_a_clear_400(payload, rule):
    found = refusal("github", delivery("github", {"x-github-event": "push"}, payload))
    assert (found.http, rule in found.rule) == (400, True), found.rule


def test_a_form_says_which_content_type_to_choose():
    given = delivery("github", {"x-github-event": "push", "content-type": "application/x-www-form-urlencoded"}, b"a=1")
    assert "application/json" in refusal("github", given).rule


def test_a_password_in_a_message_is_left_out():
    push = github_push(head_commit={"message": "see https://ada:hunter2@git.example.org/x"})
    (found,) = decided("github", delivery("github", {"x-github-event": "push"}, push))
    assert b"hunter2" not in found.event.data


@pytest.mark.parametrize(
    ("declared", "other", "same"),
    [
        ("https://github.com/acme/fraud", "git@github.com:acme/fraud.git", True),
        ("https://github.com/acme/fraud.git", "https://GitHub.com/Acme/Fraud/", True),
        ("ssh://git@git.example.org:2222/acme/fraud.git", "https://git.example.org/acme/fraud", True),
        ("/srv/git/fraud", "file:///srv/git/fraud", True),
        ("https://bitbucket.example.org/scm/acme/fraud.git", "/ACME/fraud", True),
        ("https://github.com/acme/fraud", "https://github.com.evil.org/acme/fraud", False),
        ("https://github.com/acme/fraud", "https://github.com/evil/acme/fraud", False),
        ("https://github.com/acme/fraud", "/fraud2", False),
        ("https://github.com/acme/notfraud", "/acme/fraud", False),
        ("https://github.com/acme/fraud", "https://[", False),
        ("https://github.com/acme/fraud", "", False),
    ],
)
def test_the_forms_of_one_address_are_the_same_repository(declared, other, same):
    assert is_same(declared, [other]) is same


# CloudEvents over HTTP.


def event(**changed):
    data = {"customData": {"model": "fraud", "repository": URL, "commit": COMMIT}}
    return {
        "specversion": "1.0",
        "id": "e-1",
        "source": "ci/7",
        "type": "dev.cdevents.change.merged.0.3.0",
        "datacontenttype": "application/json",
        "data": data,
    } | changed


STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
BATCH = {"content-type": "application/cloudevents-batch+json"}
BEARER = {"authorization": f"Bearer {SECRET}"}


def cloud(headers, payload, secret=SECRET):
    return delivery("cloudevents", headers, payload, secret)


def test_a_structured_event_is_taken():
    (found,) = decided("cloudevents", cloud(STRUCTURED, event()))
    assert (found.event.id, found.event.source) == ("e-1", "ci/7")
    assert merged_change(json.loads(found.event.data)).commit == COMMIT


def test_a_batch_is_all_of_its_events():
    found = decided("cloudevents", cloud(BATCH, [event(), event(id="e-2")]))
    assert [each.event.id for each in found] == ["e-1", "e-2"]
    assert decided("cloudevents", cloud(BATCH, [])) == []


def test_a_batch_with_one_wrong_event_is_refused_whole_and_says_which():
    assert refusal("cloudevents", cloud(BATCH, [event(), event(id="")])).rule.startswith("[1]: id")
    assert refusal("cloudevents", cloud(BATCH, [event()] * 101)).http == 413


BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "caf%C3%A9",
    "ce-source": "ci/7",
    "ce-type": "dev.cdevents.change.merged.0.3.0",
    "content-type": "application/json",
}


def test_a_binary_event_is_taken_with_a_bearer_token():
    body = json.dumps(event()["data"]).encode()
    (found,) = decided("cloudevents", Delivery(BINARY | BEARER, body, AT_MS))
    assert found.event.id == "café"


def test_a_binary_event_is_not_taken_by_a_signature_because_that_covers_no_headers():
    assert "headers" in refusal("cloudevents", cloud(BINARY, event()["data"])).rule


@pytest.mark.parametrize(
    ("changed", "http"),
    [
        ({"type": "com.example.other"}, 422),
        ({"data": {}}, 422),
        ({"data": {"customData": {"model": "churn", "repository": URL, "commit": COMMIT}}}, 403),
        ({"data": {"customData": {"repository": URL, "commit": COMMIT}}}, 403),
        ({"data": {"customData": {"model": "fraud", "repository": "/other", "commit": COMMIT}}}, 403),
        ({"specversion": "0.3"}, 400),
    ],
)
def test_an_event_that_the_secret_may_not_send_is_refused(changed, http):
    assert refusal("cloudevents", cloud(STRUCTURED, event(**changed))).http == http


def test_new_data_is_taken_from_who_declared_all_models_that_depend_on_it():
    update = {"uri": "s3://bucket/rows.csv", "sha256": "b" * 64}
    given = cloud(STRUCTURED, event(type="headgate.data.updated.v1", data=update))
    models = {name: depending_on(name, "s3://bucket/rows.csv") for name in ("fraud", "churn")}
    assert refusal("cloudevents", given, models=models).http == 403
    both = (FRAUD, replace(FRAUD, model="churn"))
    assert len(decided("cloudevents", given, repositories=both, models=models)) == 1


def depending_on(name: str, uri: str) -> ModelState:
    state = ModelState(name)
    file = configuration.DataFile(uri=uri, sha256="a" * 64)
    state.versions.add(version=1, configuration=configuration.ModelConfiguration(data=[file]))
    return state
