"""Roles and tokens on the command line, on a real registry."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from headgate.access.secret import SECRET, digest_of
from services.registry import app as registry
from services.registry.settings import Settings
from tests.cli.running import Headgate, run_headgate


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    url = f"sqlite://{tmp_path_factory.mktemp('registry') / 'log.db'}"
    running = registry.build(Settings(log=url, port=0))
    yield f"127.0.0.1:{running.start()}"
    running.stop(5)


@pytest.fixture
def headgate(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Headgate:
    monkeypatch.chdir(tmp_path)
    return partial(run_headgate, monkeypatch, capsys, "--registry", address, "--actor", "root")


def data(headgate: Headgate, *arguments: str) -> Any:
    code, out, err = headgate(*arguments, "-o", "json")
    assert code == 0, err
    return json.loads(out)


def test_a_role_is_granted_listed_explained_and_revoked(headgate: Headgate):
    made = data(
        headgate, "access", "grant", "ada@example.com", "operator", "--models", "fraud-*", "--reason", "on call"
    )
    terms = (made["role"], made["models"], made["environments"], made["granted_by"])
    assert terms == ("ROLE_OPERATOR", "fraud-*", "*", "root")
    again = data(headgate, "access", "grant", "ada@example.com", "operator", "--models", "fraud-*")
    assert again["grant"] == made["grant"]
    code, out, _ = headgate("access", "list", "--subject", "ada@example.com")
    assert code == 0
    assert re.search(r"operator-\w+ +ada@example.com +operator +fraud-\* +\*", out)
    code, out, _ = headgate("access", "explain", "ada@example.com", "release", "fraud-eu@production")
    assert (code, out.startswith("ada@example.com may release models/fraud-eu@production: grant operator-")) == (
        0,
        True,
    )
    while_it_held = datetime.now(UTC).isoformat()
    code, _, err = headgate("access", "revoke", made["grant"], "--reason", "off call")
    assert (code, err) == (0, f"grant {made['grant']} is revoked\n")
    code, _, err = headgate("access", "explain", "ada@example.com", "release", "fraud-eu@production")
    assert code == 1
    assert "no grant covers it; roles that may: operator, administrator" in err
    then = ("access", "explain", "ada@example.com", "release", "fraud-eu@production", "--at", while_it_held)
    assert data(headgate, *then)["grant"]["grant"] == made["grant"]
    assert headgate(*then[:-1], "2020-01-01T00:00:00Z")[0] == 1


def test_a_project_is_a_bound_of_grants_and_tokens(headgate: Headgate):
    made = data(headgate, "access", "grant", "tina", "administrator", "--project", "risk")
    assert made["models"] == "risk.*"
    assert headgate("access", "explain", "tina", "publish", "risk.fraud")[0] == 0
    assert headgate("access", "explain", "tina", "publish", "fraud")[0] == 1
    assert headgate("token", "create", "ci-risk", "--role", "viewer", "--project", "default")[0] == 0
    assert headgate("access", "explain", "token:ci-risk", "read", "fraud")[0] == 0
    assert headgate("access", "explain", "token:ci-risk", "read", "risk.fraud")[0] == 1


def test_a_deny_is_shown_as_one_and_overrides(headgate: Headgate):
    headgate("access", "grant", "group:risk", "publisher", "--environments", "*")
    assert headgate("access", "grant", "eve", "publisher", "--models", "hidden", "--deny")[0] == 0
    denied = data(headgate, "access", "grant", "eve", "publisher", "--models", "secret", "--deny", "--name", "not-eve")
    assert denied["deny"] is True
    assert "not publisher" in headgate("access", "list", "--subject", "eve")[1]
    assert headgate("access", "explain", "eve", "publish", "churn", "--group", "risk")[0] == 0
    code, _, err = headgate("access", "explain", "eve", "publish", "secret", "--group", "risk")
    assert (code, "grant not-eve denies publisher for models secret" in err) == (1, True)


def test_a_grant_by_a_label_is_explained_with_the_labels_of_the_model(headgate: Headgate):
    headgate("model", "create", "cards", "--label", "team=risk")
    headgate("access", "grant", "bob", "viewer", "--models", "team=risk")
    assert headgate("access", "explain", "bob", "read", "cards")[0] == 0
    assert headgate("access", "explain", "bob", "read", "churn")[0] == 1
    assert headgate("access", "explain", "bob", "read", "cards", "--at", "0s")[0] == 0


def test_the_secret_of_a_token_is_printed_once_and_kept_nowhere(headgate: Headgate, address: str):
    code, secret, err = headgate("token", "create", "ci-fraud", "--role", "publisher", "--models", "fraud")
    assert (code, err) == (0, "the secret of token ci-fraud, which is shown only now:\n")
    assert SECRET.fullmatch(secret.strip())
    code, listed, _ = headgate("token", "list", "-o", "json")
    assert (json.loads(listed)[0]["token"], digest_of(secret.strip()) in listed) == ("ci-fraud", False)
    code, out, _ = headgate("access", "explain", "token:ci-fraud", "publish", "fraud")
    assert (code, "grant token:ci-fraud gives publisher for models fraud" in out) == (0, True)
    assert headgate("token", "revoke", "ci-fraud", "--reason", "it was printed")[0] == 0
    assert headgate("access", "explain", "token:ci-fraud", "publish", "fraud")[0] == 1
    assert headgate("token", "revoke", "ci-fraud")[0] == 3


def test_a_secret_for_the_first_token_is_made_without_a_service(headgate: Headgate):
    code, first, _ = headgate("token", "secret")
    assert code == 0
    assert SECRET.fullmatch(first.strip())
    assert headgate("token", "secret")[1] != first


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["access", "grant", "anonymous", "viewer"], "everybody, proven or not, can only be a predictor"),
        (["access", "grant", "a b", "viewer"], "a subject has 1 to 256 printable characters and no spaces"),
        (["access", "grant", "ada", "viewer", "--models", "Fraud"], "models are * for all, a name"),
        (["access", "grant", "ada", "viewer", "--project", "a.b"], "--project a.b: a name has 1 to 63"),
        (["access", "grant", "ada", "viewer", "--project", "a", "--models", "b"], "expected one of them"),
        (["access", "explain", "ada", "read", "environments/a/b"], "expected models/{model}"),
        (["token", "create", "ci", "--role", "viewer", "--expires", "2y"], "--expires '2y': expected a time"),
        (["token", "create", "ci", "--role", "viewer", "--expires", "401d"], "within 400 days"),
    ],
)
def test_what_cannot_be_is_refused_in_words(headgate: Headgate, arguments: list[str], message: str):
    code, _, err = headgate(*arguments)
    assert code != 0
    assert message in err
