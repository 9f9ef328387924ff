"""A device that asks its local callers for the one token of its operator."""

from types import SimpleNamespace

import pytest

from headgate.runtime.observability.metric import GATEWAY
from headgate.runtime.observability.metrics import Metrics
from headgate.runtime.settings import SettingsError
from services.gateway.edge.local_callers import local_callers
from services.gateway.rest.paths import Method
from services.gateway.settings import GRPCIO
from tests.gateway import networks
from tests.gateway.harness import infer_request, running_gateway
from tests.gateway.rest.serving import RestHarness
from tests.gateway.test_access import PREDICTING, UNPROVEN, asked, request_of
from tests.runtime.authentication.granted import ROOT, bearer, called, secret_of
from tests.runtime.authentication.provider import token


def test_a_device_answers_callers_with_its_one_token_alone(tmp_path):
    file = tmp_path / "caller-token"
    file.write_text(secret_of("caller"))
    asking = SimpleNamespace(callers=lambda metrics: local_callers(file, "production", metrics))
    with running_gateway({("fraud", 1): networks.affine(2.0)}, front=GRPCIO, granted=asking) as device:
        device.serve("fraud", live=1)
        rest, good, wrong = RestHarness(device), bearer(secret_of("caller")), bearer(secret_of("another"))
        assert device.infer(infer_request([[1, 1, 1]]), metadata=good).model_version == "1"
        for path, method in PREDICTING.items():
            for header in ([], wrong, bearer(token(sub=ROOT))):
                assert called(device.channel, path, method, header, request_of(method)) == UNPROVEN, path
        assert [asked(rest, Method.MODEL_INFER, header).status for header in (good, wrong, [])] == [200, 401, 401]
        assert asked(rest, Method.SERVER_READY).status == 200
        rest.stop(2.0)


@pytest.mark.parametrize("content", ["", "short", "two words"])
def test_a_file_without_a_secret_is_refused_before_a_device_starts(tmp_path, content):
    file = tmp_path / "caller-token"
    file.write_text(content)
    with pytest.raises(SettingsError, match="--caller-token"):
        local_callers(file, "production", Metrics(GATEWAY))
    with pytest.raises(SettingsError, match="--caller-token"):
        local_callers(tmp_path / "none", "production", Metrics(GATEWAY))
