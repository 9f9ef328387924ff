"""A registry and a gateway whose callers must prove who they are, over one log, and the command line that predicts."""

import time
from functools import partial

import pytest

from headgate.artifacts.store import open_store
from services.gateway import app as gateway
from services.gateway.settings import Settings as GatewaySettings
from services.registry import app as registry
from services.registry.settings import Settings as RegistrySettings
from tests.cli.running import run_headgate
from tests.drain.processes import Installation
from tests.metrics.fleet import Fleet
from tests.runtime.authentication.provider import ISSUER, jwk, jwks, rsa_key, token
from tests.server_process import free_ports
from tests.waiting import until

ROOT = "root@example.com"
ROW = "1,1,1"


def signed(subject, **more):
    now = int(time.time())
    return token(sub=subject, nbf=now - 60, exp=now + 600, **more)


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """The addresses of a registry, of a gateway that serves weather and churn, and of its server for devices."""
    folder = tmp_path_factory.mktemp("access")
    installation = Installation(folder)
    fleet = Fleet(open_store((folder / "artifacts").as_uri()), installation.key)
    for model in ("weather", "churn"):
        installation.log.append_all(list(fleet.messages(model, in_release=False)), timeout_seconds=60.0)
    (folder / "keys.json").write_bytes(jwks(jwk(rsa_key("k1"), "k1")))
    (edge_port,) = free_ports(1)
    both = {
        "log": installation.url,
        "port": 0,
        "authentication": True,
        "authentication_administrators": ROOT,
        "authentication_keys": str(folder / "keys.json"),
        "authentication_issuer": ISSUER,
    }
    files = {"artifacts": (folder / "artifacts").as_uri(), "keys": folder / "keys", "edge_port": edge_port}
    services = [registry.build(RegistrySettings(**both)), gateway.build(GatewaySettings(**both, **files))]
    ports = [service.start() for service in services]
    until(services[1]._ready.is_set, "the gateway")
    yield (*(f"127.0.0.1:{port}" for port in (*ports, edge_port)),)
    for service in services:
        service.stop(5)
    installation.log.close()


@pytest.fixture
def headgate(running, tmp_path, monkeypatch, capsys):
    """Runs `headgate ARGUMENTS` with the secret of a caller; empty for none."""
    monkeypatch.chdir(tmp_path)

    def run(secret, *arguments):
        files = []
        if secret:
            (tmp_path / "secret").write_text(secret)
            files = ["--token-file", str(tmp_path / "secret")]
        return run_headgate(monkeypatch, capsys, "--registry", running[0], "--gateway", running[1], *files, *arguments)

    return run


def refusal(printed):
    code, _, err = printed
    return code, "needs a proof of who you are" in err, "you may not do this" in err


UNPROVEN, FORBIDDEN, PREDICT = (1, True, False), (1, False, True), ("predict", "weather", "--row", ROW)


def test_who_may_predict_what_and_until_when(headgate):
    root, ada = signed(ROOT), signed("ada@example.com", groups=["shop"])
    assert refusal(headgate("", *PREDICT)) == UNPROVEN
    assert refusal(headgate(ada, *PREDICT)) == FORBIDDEN
    grant = ("access", "grant", "group:shop", "predictor", "--models", "wea*", "--environments", "production")
    assert headgate(root, *grant, "--name", "shop")[0] == 0
    until(lambda: headgate(ada, *PREDICT)[0] == 0, "the grant, read by the gateway")
    assert refusal(headgate(ada, "predict", "churn", "--row", ROW)) == FORBIDDEN
    assert refusal(headgate(ada, "predict", "missing", "--row", ROW)) == FORBIDDEN
    assert headgate(ada, "gateway", "model", "weather")[0] == 0
    assert headgate(ada, "gateway", "status")[0] == 0
    assert headgate(root, "access", "revoke", "shop")[0] == 0
    until(lambda: refusal(headgate(ada, *PREDICT)) == FORBIDDEN, "the end of the grant")


def test_a_machine_predicts_with_a_token_until_it_is_revoked(headgate):
    root = signed(ROOT)
    code, secret, _ = headgate(root, "token", "create", "shop", "--role", "predictor", "--models", "weather")
    assert code == 0
    until(lambda: headgate(secret.strip(), *PREDICT)[0] == 0, "the token, read by the gateway")
    assert refusal(headgate(secret.strip(), "predict", "churn", "--row", ROW)) == FORBIDDEN
    assert headgate(root, "token", "revoke", "shop")[0] == 0
    until(lambda: refusal(headgate(secret.strip(), *PREDICT)) == UNPROVEN, "the end of the token")


def test_a_public_model_needs_no_token(headgate):
    root = signed(ROOT)
    assert headgate(root, "access", "grant", "anonymous", "predictor", "--models", "weather", "--name", "all")[0] == 0
    until(lambda: headgate("", *PREDICT)[0] == 0, "the public model")
    assert refusal(headgate("", "predict", "churn", "--row", ROW)) == UNPROVEN
    assert headgate(root, "access", "revoke", "all")[0] == 0


def test_devices_are_listed_for_who_may_read(headgate, running):
    listed = partial(headgate, signed(ROOT), "gateway", "devices", "--from", running[2])
    assert listed()[0] == 0
    assert refusal(headgate("", "gateway", "devices", "--from", running[2])) == UNPROVEN
