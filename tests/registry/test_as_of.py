"""What a client saw at a moment is what the registry answers as of that moment, whatever has happened since."""

import random
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from headgate.v1 import access_service_pb2 as access_service
from headgate.v1 import access_service_pb2_grpc as access_service_grpc
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import release_service_pb2 as release_service
from headgate.v1 import resources_pb2 as resources
from services.registry import as_of
from tests.histories.recorder import BEGIN_MS, Recorder
from tests.histories.stories import STORIES
from tests.registry.conftest import Running
from tests.registry.test_servicer import details

FRAUD, PRODUCTION = "models/fraud", "environments/production"
STORIES_TOLD = ("canary_promoted", "rolled_back_by_verdict", "granted_and_revoked")

REQUESTS: dict[str, list[Message]] = {
    "GetModel": [registry_service.GetModelRequest(name=FRAUD)],
    "GetVersion": [
        *(registry_service.GetVersionRequest(name=f"{FRAUD}/versions/{number}") for number in (1, 2)),
        registry_service.GetVersionRequest(name=f"{FRAUD}/aliases/champion"),
    ],
    "ListModels": [
        registry_service.ListModelsRequest(),
        registry_service.ListModelsRequest(filter="labels.team = risk", order_by="create_time desc"),
        registry_service.ListModelsRequest(filter="live.production:*"),
    ],
    "ListVersions": [
        registry_service.ListVersionsRequest(parent=FRAUD),
        registry_service.ListVersionsRequest(parent="models/-", page_size=1, order_by="update_time"),
        registry_service.ListVersionsRequest(parent="models/-", filter="verdict = passed AND metrics.accuracy > 0"),
    ],
    "ListHistory": [
        registry_service.ListHistoryRequest(stream=FRAUD, page_size=3),
        registry_service.ListHistoryRequest(stream=PRODUCTION),
    ],
    "GetFoldDigest": [registry_service.GetFoldDigestRequest()],
    "Explain": [
        registry_service.ExplainRequest(name=FRAUD),
        registry_service.ExplainRequest(name=f"{FRAUD}/releases/2"),
        registry_service.ExplainRequest(name=f"{FRAUD}/versions/1"),
    ],
    "GetRelease": [release_service.GetReleaseRequest(name=f"{FRAUD}/releases/2")],
    "ListReleases": [
        release_service.ListReleasesRequest(parent="models/-"),
        release_service.ListReleasesRequest(parent=FRAUD, filter="active = true"),
    ],
    "GetEnvironment": [release_service.GetEnvironmentRequest(name=PRODUCTION)],
    "ListEnvironments": [release_service.ListEnvironmentsRequest()],
    "ListGrants": [access_service.ListGrantsRequest()],
    "ListTokens": [access_service.ListTokensRequest()],
}
Answers = list[Message | tuple[grpc.StatusCode, str]]
Ask = Callable[[str, Any], Any]


class Teller(Recorder):
    """Tells a story to a registry, and calls `seen` after each of its facts."""

    def __init__(self, running: Running, seen: Callable[[int], None]) -> None:
        super().__init__(running.log, running.registry.decider._fold)
        self._seen = seen

    def send(self, stream: str, *bodies: Any, **more: Any) -> None:
        for body in bodies:
            super().send(stream, body, **more)
            self._seen(self.now_ms)


@pytest.fixture
def ask(registry: Running) -> Iterator[Ask]:
    """Calls a method of the registry by its name."""
    with grpc.insecure_channel(registry.address) as channel:
        stubs = (registry.models, registry.releases, access_service_grpc.AccessServiceStub(channel))

        def call(method: str, request: Message) -> Any:
            return next(getattr(stub, method) for stub in stubs if hasattr(stub, method))(request)

        yield call


def answers(ask: Ask, moment: resources.AsOf | None = None) -> Answers:
    """What the registry answers to all requests, page by page, without what says how it read."""
    found: Answers = []
    for method, requests in REQUESTS.items():
        for request in requests:
            found.extend(pages(ask, method, request, moment))
    return found


def pages(ask: Ask, method: str, request: Message, moment: resources.AsOf | None) -> Iterator[Any]:
    asked: Any = type(request)()
    asked.CopyFrom(request)
    if moment is not None:
        asked.as_of.CopyFrom(moment)
    while True:
        try:
            page = ask(method, asked)
        except grpc.RpcError as error:
            code: Any = error
            yield code.code(), method
            return
        token = getattr(page, "next_page_token", "")
        for field in ("read", "next_page_token", "void_records"):
            if field in page.DESCRIPTOR.fields_by_name:
                page.ClearField(field)
        yield page
        if not token:
            return
        asked.page_token = token


@pytest.mark.parametrize("story", STORIES_TOLD)
def test_what_a_client_saw_is_the_answer_as_of_then(
    registry: Running, ask: Ask, story: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(as_of, "MAX_IN_PLACE", 1)
    seen: list[tuple[int, resources.ReadMark, Answers]] = []

    def look(now_ms: int) -> None:
        read = ask("ListModels", registry_service.ListModelsRequest()).read
        seen.append((now_ms, read, answers(ask)))

    STORIES[story](Teller(registry, look))
    assert len(seen) > 6
    random.Random(story).shuffle(seen)
    for now_ms, read, then in seen:
        assert answers(ask, resources.AsOf(read=read)) == then
        assert answers(ask, resources.AsOf(time_ms=now_ms)) == then
    nothing = answers(ask, resources.AsOf(time_ms=BEGIN_MS - 1))
    assert nothing == answers(ask, resources.AsOf(read=resources.ReadMark()))
    assert {each[0] for each in nothing if isinstance(each, tuple)} == {grpc.StatusCode.NOT_FOUND}


@pytest.fixture
def told(registry: Running) -> Running:
    STORIES["canary_promoted"](Teller(registry, lambda _: None))
    return registry


def test_a_sequence_names_a_moment_of_what_belongs_to_its_stream(told: Running, ask: Ask) -> None:
    history = ask("ListHistory", registry_service.ListHistoryRequest(stream=FRAUD)).records
    for record in history[::5]:
        moment = resources.AsOf(sequence=record.record.sequence)
        model = ask("GetModel", registry_service.GetModelRequest(name=FRAUD, as_of=moment))
        assert model.etag == str(record.record.sequence)
        listed = ask("ListVersions", registry_service.ListVersionsRequest(parent=FRAUD, as_of=moment)).versions
        assert len(listed) == model.latest_version


AS_OF = resources.AsOf


WRONG: list[tuple[str, Message, str, str, str]] = [
    ("GetModel", registry_service.GetModelRequest(name=FRAUD, as_of=AS_OF()), "INVALID_ARGUMENT", "as_of",
     "expected time_ms, sequence or read"),
    ("GetModel", registry_service.GetModelRequest(name=FRAUD, as_of=AS_OF(time_ms=-1)), "INVALID_ARGUMENT",
     "as_of.time_ms", "expected ms since 1970"),
    ("ListModels", registry_service.ListModelsRequest(as_of=AS_OF(time_ms=1 << 62)), "INVALID_ARGUMENT",
     "as_of.time_ms", "a time that has come: the log's time is 20"),
    ("ListModels", registry_service.ListModelsRequest(as_of=AS_OF(sequence=1)), "INVALID_ARGUMENT",
     "as_of.sequence", "a sequence names a moment of one model or environment"),
    ("GetModel", registry_service.GetModelRequest(name=FRAUD, as_of=AS_OF(sequence=999)), "INVALID_ARGUMENT",
     "as_of.sequence", "the head of model fraud"),
    ("GetModel", registry_service.GetModelRequest(name=FRAUD, as_of=AS_OF(time_ms=0)), "NOT_FOUND", "name",
     "model fraud did not exist at 1970-01-01 00:00:00 UTC: the first fact of its stream is of 2025-"),
    ("GetVersion", registry_service.GetVersionRequest(name=f"{FRAUD}/versions/2", as_of=AS_OF(sequence=9)),
     "NOT_FOUND", "name", "version 2 of fraud did not exist at sequence 9"),
    ("ListReleases", release_service.ListReleasesRequest(parent=FRAUD, as_of=AS_OF(time_ms=5)), "NOT_FOUND",
     "parent", "model fraud did not exist"),
    ("GetEnvironment", release_service.GetEnvironmentRequest(name=PRODUCTION, as_of=AS_OF(sequence=0)), "NOT_FOUND",
     "name", "environment production did not exist at sequence 0"),
    ("ListModels", registry_service.ListModelsRequest(as_of=AS_OF(read=resources.ReadMark(positions={99: 1}))),
     "INVALID_ARGUMENT", "as_of.read", "partitions from 0 to 11"),
    ("ListModels", registry_service.ListModelsRequest(as_of=AS_OF(read=resources.ReadMark(positions={1: 9999}))),
     "INVALID_ARGUMENT", "as_of.read", "offset 9999 of partition 1"),
    ("Explain", registry_service.ExplainRequest(name="fraud"), "INVALID_ARGUMENT", "name", "models/{model}, "),
    ("Explain", registry_service.ExplainRequest(name=f"{FRAUD}/versions/9"), "NOT_FOUND", "name", "version 9"),
]  # fmt: skip


def test_a_moment_that_cannot_be_is_refused_with_what_can(
    told: Running, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(as_of, "READ_WAIT_SECONDS", 0.0)
    for method, request, code, field, words in WRONG:
        with pytest.raises(grpc.RpcError) as caught:
            ask(method, request)
        error: Any = caught.value
        assert (error.code().name, details(error)[1]) == (code, field), request
        assert words in error.details(), request


def test_a_page_token_belongs_to_its_moment(told: Running, ask: Ask) -> None:
    request = registry_service.ListVersionsRequest(parent=FRAUD, page_size=1, as_of=AS_OF(sequence=20))
    request.page_token = ask("ListVersions", request).next_page_token
    assert request.page_token
    request.as_of.sequence = 19
    with pytest.raises(grpc.RpcError, match="another parent, filter, order or moment"):
        ask("ListVersions", request)


def test_what_serves_is_explained_back_to_the_commit_the_data_and_the_people(told: Running, ask: Ask) -> None:
    cause = ask("Explain", registry_service.ExplainRequest(name=FRAUD, environment="production")).cause
    assert cause.words == "fraud serves v2 in production"
    found = list(flat(cause))
    kinds = [each.fact.kind for each in found]
    for kind in ("release_completed", "release_requested", "gate_decided", "training_finished", "version_created"):
        assert kind in kinds
    assert any(each.words.startswith("commit ") and each.name.startswith("https://git.example") for each in found)
    assert any(each.words.startswith("data ") and "@sha256:" in each.name for each in found)
    requested = next(each for each in found if each.fact.kind == "release_requested")
    assert (requested.fact.actor, requested.fact.stream) == ("ada@example.org", FRAUD)
    first = ask("Explain", registry_service.ExplainRequest(name=FRAUD, as_of=AS_OF(sequence=1))).cause
    assert (first.words, list(first.causes)) == ("fraud serves nowhere", [])


def flat(cause: registry_service.Cause) -> Iterator[registry_service.Cause]:
    yield cause
    for each in cause.causes:
        yield from flat(each)
