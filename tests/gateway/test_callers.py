"""Tokens that a gateway has not seen before, verified beside the calls of all others; and its lines about refusals."""

import grpc
import pytest

from headgate.access.roles import Role
from headgate.runtime.authentication.signing_keys import RETRY_SECONDS
from services.gateway import callers
from services.gateway.settings import GRPCIO, H2CORN
from tests.gateway import networks
from tests.gateway.harness import infer_request, running_gateway
from tests.gateway.rest.serving import RestHarness, rows
from tests.runtime.authentication.granted import Granted, bearer
from tests.runtime.authentication.provider import token
from tests.waiting import PATIENCE_SECONDS, until


@pytest.mark.parametrize("front", [GRPCIO, H2CORN])
def test_a_new_token_waits_for_a_provider_that_hangs_and_nobody_else_does(front, monkeypatch):
    monkeypatch.setattr(callers, "MAX_VERIFYING", 1)
    granted, asked = Granted(), infer_request([[1, 1, 1]])
    granted.grant(Role.PREDICTOR)
    with running_gateway({("fraud", 1): networks.affine(2.0)}, front=front, granted=granted) as gateway:
        gateway.serve("fraud", live=1)
        rest, seen = RestHarness(gateway), bearer(token())
        gateway.infer(asked, metadata=seen)
        granted.provider_may_answer.clear()
        granted.monotonic += RETRY_SECONDS
        unknown = gateway.stub.ModelInfer.future(asked, metadata=bearer(token(key_id="k9")), timeout=PATIENCE_SECONDS)
        until(lambda: granted.reads == 2, "the read of the keys")
        assert gateway.infer(asked, metadata=seen).model_version == "1"
        assert rest.infer(rows(1.0, 1.0, 1.0), authorization=seen[0][1]).status == 200
        with pytest.raises(grpc.RpcError) as refused:
            gateway.infer(asked, metadata=bearer(token(sub="bob@example.com")))
        assert refused.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        busy = rest.infer(rows(1.0, 1.0, 1.0), authorization=f"Bearer {token(sub='eve@example.com')}")
        assert (busy.status, busy.json["code"], busy.headers["Retry-After"]) == (429, "too-many-new-tokens", "1")
        granted.provider_may_answer.set()
        assert unknown.exception().code() is grpc.StatusCode.UNAUTHENTICATED
        gateway.infer(asked, metadata=bearer(token(jti="another")))
        rest.stop(2.0)


@pytest.mark.parametrize("front", [GRPCIO, H2CORN])
def test_a_refused_call_has_a_line_in_the_audit_log_with_who_sent_it_from_where(front, caplog):
    with running_gateway({("fraud", 1): networks.affine(2.0)}, front=front, granted=Granted()) as gateway:
        gateway.serve("fraud", live=1)
        rest, header = RestHarness(gateway), bearer(token())
        with pytest.raises(grpc.RpcError):
            gateway.infer(infer_request([[1, 1, 1]]), metadata=header)
        assert rest.infer(rows(1.0, 1.0, 1.0), authorization=header[0][1]).status == 403
        rest.stop(2.0)
    lines = [each for each in caplog.records if each.name == "headgate.audit"]
    expected = (callers.MODEL_INFER, "no-grant", "ada@example.com", "jwt", True)
    found = [(line.method, line.why, line.subject, line.how, "127.0.0.1:" in line.peer) for line in lines]
    assert found == [expected, expected]
