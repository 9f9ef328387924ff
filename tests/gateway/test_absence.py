"""A caller who names a version that cannot answer gets the reason."""

import pytest

from headgate.domain.model import ModelState
from headgate.v1 import resources_pb2 as resources
from services.gateway.absence import why_not_deployable, why_not_here, why_not_loaded

PASSED = resources.VERDICT_STATE_PASSED


def state(**fields):
    model = ModelState(name="fraud")
    fields = {"verdict": PASSED, "retention": resources.RETENTION_STATE_KEPT} | fields
    model.versions.add(version=1, **fields)
    return model


@pytest.mark.parametrize(
    ("model", "number", "reason"),
    [
        (None, 1, "does not exist"),
        (state(), 9, "does not exist; see: headgate version list fraud"),
        (state(), 0, "does not exist"),
        (state(retention=resources.RETENTION_STATE_PURGED), 1, "is purged: its files are deleted"),
        (state(quarantined=True), 1, "lift the quarantine with: headgate version lift-quarantine fraud/1"),
        (state(verdict=resources.VERDICT_STATE_FAILED), 1, "is failed, so it is not deployable"),
        (
            state(verdict=resources.VERDICT_STATE_UNDECIDED, build=resources.BUILD_STATE_TRAINING),
            1,
            "is training, so it is not deployable; see: headgate version get fraud/1",
        ),
        (state(retention=resources.RETENTION_STATE_ARCHIVED), 1, "is archived, so it is not deployable"),
        (state(), 1, "is not released to production: a gateway serves the live version and the candidate"),
    ],
)
def test_a_version_that_no_route_names_is_explained_by_its_state(model, number, reason):
    assert reason in why_not_here("fraud", number, model, "production")


def test_a_version_that_a_route_names_is_loading_or_has_failed():
    assert why_not_loaded({}, 2) == "is still loading"
    assert why_not_loaded({2: "there is no file"}, 2) == "failed to load: there is no file"


def test_a_release_that_overrides_a_quarantine_makes_its_candidate_deployable():
    quarantined = resources.Version(version=1, quarantined=True)
    assert why_not_deployable("fraud", quarantined)
    assert not why_not_deployable("fraud", quarantined, override_quarantine=True)
