"""What a gateway knows of grants, tokens and labels: from the fold, with each fact, and without its lock."""

import threading

import pytest

from headgate.access.grants import Target
from headgate.access.roles import Role
from headgate.access.secret import digest_of
from headgate.domain.state import ModelState
from headgate.log.port import LogUnavailable
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from services.gateway.served_access import ServedAccess
from tests.runtime.authentication.granted import ROOT, Granted


@pytest.fixture
def granted():
    return Granted()


@pytest.fixture
def access(granted):
    found = ServedAccess(granted, "production", [ROOT])
    found.begin()
    return found


def label(granted, model, **labels):
    """Folds a fact after which the model has these labels alone."""
    state = granted.models.setdefault(model, ModelState(name=model))
    state.model.labels.clear()
    state.model.labels.update(labels)
    granted.tell(facts.LifecycleRecord(stream=f"models/{model}"))


def test_before_the_fold_has_caught_up_nothing_is_known(granted):
    unread = ServedAccess(granted, "production")
    with pytest.raises(LogUnavailable):
        unread.grants()
    with pytest.raises(LogUnavailable):
        unread.token("")


def test_each_fact_counts_at_once_also_while_another_thread_holds_the_fold(granted, access):
    before = access.grants()
    secret = granted.made_token("ci")
    assert access.token(digest_of(secret)).token == "ci"
    granted.send(commands.RevokeToken(token="ci"))
    read = []
    with granted.lock:
        reader = threading.Thread(target=lambda: read.append((access.token(digest_of(secret)), access.target("fraud"))))
        reader.start()
        reader.join(20)
    assert read == [(None, Target("fraud", "production"))]
    granted.grant(Role.PREDICTOR)
    assert access.grants() is not before


def test_the_labels_of_a_model_follow_its_facts(granted, access):
    label(granted, "fraud", team="risk")
    assert access.target("fraud") == Target("fraud", "production", {"team": "risk"})
    label(granted, "fraud")
    assert access.target("fraud") == Target("fraud", "production")
    assert access.target("missing") == Target("missing", "production")


def test_labels_of_before_the_begin_are_known(granted):
    label(granted, "fraud", team="risk")
    late = ServedAccess(granted, "production")
    late.begin()
    late.begin()
    assert late.labels("fraud") == {"team": "risk"}
