"""Webhooks over HTTP, on a real log."""

import asyncio
import json
from contextlib import closing, contextmanager, nullcontext

import pytest
from starlette.applications import Starlette

from headgate.domain.state import ModelState
from headgate.log.envelope import decode
from headgate.log.export_file import records_of
from headgate.log.open import open_log
from headgate.log.port import LogUnavailable
from headgate.log.startup import create_declared
from headgate.log.topics import INBOX
from headgate.runtime.rpc.rate_limit import Rate
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.portal.webhooks import app as webhooks
from services.portal.webhooks.app import MAX_BODY_BYTES, Webhooks
from services.portal.webhooks.secret_files import SecretFiles
from tests.portal.asgi import call, scope_of
from tests.portal.webhooks.payloads import AT_MS, SECRET, URL, github_push, signed

PATH = "/webhooks/github/acme"


@pytest.fixture
def log(tmp_path):
    with closing(open_log(f"sqlite://{tmp_path}/log.db")) as log:
        create_declared(log)
        yield log


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "acme").write_text(f"{SECRET}\n")
    return folder


@pytest.fixture
def app(log, folder):
    return application(log, folder)


def test_what_is_declared_later_counts_from_its_fact_on(log, folder):
    state = ModelState("fraud")
    hooks = webhooks.Webhooks(lambda: nullcontext({"fraud": state}), SecretFiles(folder), log, lambda: AT_MS)
    app = Starlette(routes=hooks.routes())
    assert push(app).status == 404
    state.model.repositories.append(resources.Repository(repository=URL, branch="main", secret="acme"))
    hooks.note(facts.RepositoryAdded())
    assert push(app).status == 202
    del state.model.repositories[:]
    hooks.note(facts.RepositoryRemoved())
    assert push(app).status == 404


def application(log, folder):
    state = ModelState("fraud")
    state.model.repositories.append(resources.Repository(repository=URL, branch="main", secret="acme"))

    @contextmanager
    def models():
        yield {"fraud": state}

    return Starlette(routes=Webhooks(models, SecretFiles(folder), log, lambda: AT_MS).routes())


def push(app, path=PATH, headers=None, **changed):
    body = json.dumps(github_push(**changed)).encode()
    return call(app, "POST", path, {"x-github-event": "push", **signed("github", body), **(headers or {})}, body)


def test_a_push_is_an_event_of_the_inbox(app, log):
    answer = push(app)
    assert answer.status == 202
    (record,) = records_of(log, INBOX)
    (told,) = json.loads(answer.body)["events"]
    assert (decode(record).id, decode(record).source) == (told["id"], told["source"])
    assert (told["model"], "forced" in told) == ("fraud", False)
    assert record.key == b"fraud"


def test_a_delivery_that_comes_again_has_the_same_event(app, log):
    assert push(app, headers={"x-github-delivery": "1"}).body == push(app, headers={"x-github-delivery": "2"}).body
    assert len({decode(record).id for record in records_of(log, INBOX)}) == 1


def test_a_force_push_says_so_and_another_branch_says_that_it_does_nothing(app, log):
    assert json.loads(push(app, forced=True).body)["events"][0]["forced"] is True
    answer = push(app, ref="refs/heads/next")
    assert answer.status == 200
    assert "'next' is not 'main'" in json.loads(answer.body)["ignored"][0]
    assert len(list(records_of(log, INBOX))) == 1


@pytest.mark.parametrize(
    "path", [PATH, "/webhooks/github/nobody", "/webhooks/github/..%2Facme", "/webhooks/gitlab/acme"]
)
def test_a_forged_delivery_and_an_unknown_address_are_answered_alike(app, log, path):
    answer = push(app, path, {"x-hub-signature-256": "sha256=00"})
    assert answer.status == 401
    assert answer.body == push(app, PATH, {"x-hub-signature-256": "sha256=00"}).body
    assert list(records_of(log, INBOX)) == []


def test_an_unknown_sender_learns_which_there_are(app):
    assert push(app, "/webhooks/gitbub/acme").status == 404


@pytest.mark.parametrize("text", ["", "short\n", "\xff" * 20])
def test_a_file_without_a_real_secret_takes_nothing(app, folder, text):
    (folder / "acme").write_bytes(text.encode("latin-1"))
    assert push(app).status == 401


def test_without_a_folder_nothing_is_taken(log):
    assert push(application(log, None)).status == 401


def test_a_new_secret_counts_at_once(app, folder):
    (folder / "acme").write_text("quite-another-secret\n")
    assert push(app).status == 401
    (folder / "acme").write_text(f"quite-another-secret\n{SECRET}\n")
    assert push(app).status == 202


def test_a_large_body_is_refused_before_it_is_read(app):
    length = {"content-length": str(100 << 20)}
    assert call(app, "POST", PATH, length, b"{}").status == 413
    assert call(app, "POST", PATH, {}, [b" " * (1 << 20)] * (MAX_BODY_BYTES // (1 << 20) + 1)).status == 413


def test_too_many_deliveries_to_one_address_wait_and_those_to_another_do_not(log, folder, monkeypatch):
    monkeypatch.setattr(webhooks, "RATE", Rate(per_second=0.001, burst=3))
    app = application(log, folder)
    (folder / "other").write_text(f"{SECRET}\n")
    for _ in range(3):
        assert push(app, ref="refs/heads/next").status == 200
    answer = push(app, ref="refs/heads/next")
    assert (answer.status, answer.headers["retry-after"]) == (429, "5")
    assert push(app, "/webhooks/github/other").status == 404


def test_forged_deliveries_use_up_the_rate_of_no_address(log, folder, monkeypatch):
    monkeypatch.setattr(webhooks, "RATE", Rate(per_second=0.001, burst=3))
    app = application(log, folder)
    forged = {"x-hub-signature-256": "sha256=00"}
    paths = [PATH, "/webhooks/github/nobody"]
    assert [push(app, path, forged).status for path in paths * 2] == [401, 401, 401, 429]
    assert push(app).status == 202


def test_more_deliveries_at_once_than_there_is_memory_for_wait(app, monkeypatch):
    monkeypatch.setattr(webhooks, "MAX_AT_ONCE", 0)
    assert (push(app).status, push(app).headers["retry-after"]) == (503, "5")


def test_bodies_that_never_come_to_one_address_keep_no_other_out(log, folder):
    app = application(log, folder)

    async def answers():
        held = [asyncio.create_task(app(*_held("/webhooks/github/nobody"))) for _ in range(webhooks.MAX_AT_ONCE)]
        await asyncio.sleep(0)
        answer = await asyncio.to_thread(push, app)
        for each in held:
            each.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        return answer.status

    assert asyncio.run(answers()) == 202


def _held(path):
    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        pass

    return scope_of("POST", path, {}), receive, send


def test_an_unproven_delivery_waits_for_no_state(log, folder):
    @contextmanager
    def models():
        raise AssertionError("asked for the models of an unproven delivery")
        yield

    app = Starlette(routes=Webhooks(models, SecretFiles(folder), log, lambda: AT_MS).routes())
    assert push(app, headers={"x-hub-signature-256": "sha256=00"}).status == 401


def test_a_log_that_takes_nothing_is_a_delivery_to_send_again(folder):
    class Full:
        def append(self, message):
            raise LogUnavailable("the disk is full")

    answer = push(application(Full(), folder))
    assert (answer.status, "disk" in answer.text) == (503, False)
