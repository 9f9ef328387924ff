"""A gateway with more models than memory for them: it answers all, and holds few."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from headgate.artifacts.layout import MODEL_FILE
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.v1 import facts_pb2 as facts
from services.gateway.loading import next_load as loading
from services.gateway.loading import waits as load_waits
from services.gateway.loading.eviction import SESSION_BYTES, session_bytes
from tests.gateway import networks
from tests.gateway.harness import Gate, answer, canary, infer_request, running_gateway, until
from tests.gateway.rest.serving import RestHarness
from tests.metrics.exposed import parsed, text_of
from tests.waiting import PATIENCE_SECONDS

MODELS = 200
ROOM = 20
NAMES = [f"m{number:03d}" for number in range(MODELS)]
TINY = networks.affine()
SIZE = session_bytes(len(TINY))


def artifact(network=TINY):
    return facts.Artifact(files=[facts.ArtifactFile(name=MODEL_FILE, size_bytes=len(network))])


@pytest.fixture(scope="module")
def crowded():
    """200 live models, and memory for 20 of them."""
    with running_gateway({(name, 1): TINY for name in NAMES}, memory_bytes=ROOM * SIZE) as gateway:
        for name in NAMES:
            gateway.fold.set(name, live=1, versions=[{"artifact": artifact()}])
        until(lambda: len(gateway.follower.table.entries) == MODELS and gateway.follower.loads_finished(), "all routes")
        yield gateway


def loaded(gateway):
    return {name for name, entry in gateway.follower.table.entries.items() if entry.versions}


def held(gateway):
    return gateway.follower.memory().held_bytes


def shown(gateway):
    return parsed(text_of(gateway.metrics))


def asked_for(gateway, name, **fields):
    return answer(gateway.infer(infer_request([[1, 1, 1]], model=name, **fields))).tolist()


def test_every_model_answers_and_the_memory_holds_few(crowded):
    assert len(loaded(crowded)) <= ROOM
    for name in NAMES:
        assert asked_for(crowded, name) == [[2, 2, 2]]
        assert held(crowded) <= ROOM * SIZE
    assert len(loaded(crowded)) <= ROOM
    assert set(NAMES[-ROOM // 2 :]) <= loaded(crowded), "what answered last is still there"
    assert shown(crowded).value("headgate_version_evictions_total") >= MODELS - ROOM
    assert shown(crowded).value("headgate_version_load_duration_seconds_count") >= MODELS


def test_callers_of_all_models_at_once_are_all_answered(crowded):
    with ThreadPoolExecutor(16) as pool:
        answers = Counter(str(found) for found in pool.map(lambda name: asked_for(crowded, name), NAMES[::-1]))
    assert answers == {"[[2.0, 2.0, 2.0]]": MODELS}
    assert held(crowded) <= ROOM * SIZE


def asleep(gateway):
    return until(lambda: next((n for n in NAMES if gateway.follower.table.entries[n].asleep), None), "a sleeping one")


def test_a_model_that_sleeps_is_ready_and_describes_itself_over_grpc_and_rest(crowded):
    name = asleep(crowded)
    assert crowded.stub.ModelReady(inference.ModelReadyRequest(name=name)).ready
    assert crowded.stub.ModelReady(inference.ModelReadyRequest(name=name, version="1")).ready
    index = {each.name: each for each in crowded.stub.RepositoryIndex(inference.RepositoryIndexRequest()).models}
    assert (index[name].state, "the next request loads it" in index[name].reason) == ("READY", True)
    metadata = crowded.stub.ModelMetadata(inference.ModelMetadataRequest(name=name), timeout=PATIENCE_SECONDS)
    assert (list(metadata.versions), metadata.inputs[0].name) == (["1"], "x")
    rest = RestHarness(crowded)
    try:
        answered = rest.ask("GET", f"/v2/models/{asleep(crowded)}")
        assert (answered.status, answered.json["inputs"][0]["name"]) == (200, "x")
    finally:
        rest.stop(0.0)
    name = asleep(crowded)
    assert crowded.stub.ModelStatistics(inference.ModelStatisticsRequest(name=name)).model_stats == []
    config = crowded.stub.ModelConfig(inference.ModelConfigRequest(name=name), timeout=PATIENCE_SECONDS).config
    assert config.input[0].name == "x"


def test_a_named_version_that_sleeps_is_loaded_for_its_request(crowded):
    assert asked_for(crowded, asleep(crowded), model_version="1") == [[2, 2, 2]]


def test_its_answers_are_counted_as_those_of_any_other(crowded):
    name = asleep(crowded)
    before = sum(counts.requests for counts in crowded.counts(name).values())
    asked_for(crowded, name)
    assert sum(counts.requests for counts in crowded.counts(name).values()) == before + 1


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


def test_what_runs_stays_and_a_request_without_room_is_refused_with_the_time_of_the_next_try(gate, monkeypatch):
    monkeypatch.setattr(load_waits, "WAIT_SECONDS", 0.2)
    versions = [{"artifact": artifact()}]
    with running_gateway({("a", 1): TINY, ("b", 1): TINY}, {("a", 1): gate}, memory_bytes=SIZE) as gateway:
        gateway.serve("a", live=1, versions=versions)
        running = gateway.stub.ModelInfer.future(infer_request([[1, 1, 1]], model="a"), timeout=PATIENCE_SECONDS)
        gate.await_entered()
        gateway.fold.set("b", live=1, versions=versions)
        until(lambda: gateway.follower.table.entries.get("b") and gateway.follower.table.entries["b"].asleep)
        with pytest.raises(grpc.RpcError) as refused:
            gateway.infer(infer_request([[1, 1, 1]], model="b"))
        assert refused.value.code() == grpc.StatusCode.UNAVAILABLE
        assert "try again in 1 s" in refused.value.details()
        details = rpc_status.from_call(refused.value).details
        retry = error_details_pb2.RetryInfo()
        assert details[1].Unpack(retry)
        assert retry.retry_delay.seconds == 1
        assert shown(gateway).total("headgate_predictions_not_run_total", model="b", reason="not-loaded") == 1
        gate.open()
        assert answer(running.result(PATIENCE_SECONDS)).tolist() == [[2, 2, 2]]
        assert until(lambda: _answered(gateway, "b"), "room for b")


def _answered(gateway, name):
    try:
        return asked_for(gateway, name)
    except grpc.RpcError:
        return None


def test_a_request_that_is_cancelled_while_it_waits_for_a_load_is_counted_and_ran_nowhere(gate):
    versions = [{"artifact": artifact()}]
    with running_gateway({("a", 1): TINY, ("b", 1): TINY}, {("a", 1): gate}, memory_bytes=SIZE) as gateway:
        gateway.serve("a", live=1, versions=versions)
        running = gateway.stub.ModelInfer.future(infer_request([[1, 1, 1]], model="a"), timeout=PATIENCE_SECONDS)
        gate.await_entered()
        gateway.fold.set("b", live=1, versions=versions)
        until(lambda: gateway.follower.table.entries.get("b") and gateway.follower.table.entries["b"].asleep)
        waiting = gateway.stub.ModelInfer.future(infer_request([[1, 1, 1]], model="b"), timeout=PATIENCE_SECONDS)
        until(lambda: gateway.follower.memory().waiting == 1, "the wait")
        waiting.cancel()
        until(lambda: shown(gateway).total("headgate_predictions_not_run_total", model="b", reason="cancelled") == 1)
        assert gateway.follower.memory().waiting == 0
        assert not any(counts.requests for counts in gateway.counts("b").values())
        gate.open()
        running.result(PATIENCE_SECONDS)


def test_a_candidate_takes_an_idle_models_place_and_the_stable_version_beside_it_stays():
    versions = [{"artifact": artifact()}, {"artifact": artifact()}]
    known = {(name, number): TINY for name in ("idle", "fraud") for number in (1, 2)}
    with running_gateway(known, memory_bytes=2 * SIZE) as gateway:
        gateway.serve("idle", live=1, versions=versions)
        gateway.serve("fraud", live=1, versions=versions)
        gateway.serve("fraud", live=1, release=canary(5_000, epoch=5), versions=versions)
        entries = gateway.follower.table.entries
        assert (sorted(entries["fraud"].versions), entries["idle"].asleep) == ([1, 2], True)


def test_a_version_larger_than_all_the_memory_fails_with_the_setting_that_allows_it(monkeypatch):
    monkeypatch.setattr(loading, "FIRST_RETRY_SECONDS", 0.001)
    with running_gateway({("fraud", 1): TINY}, memory_bytes=SESSION_BYTES) as gateway:
        gateway.fold.set("fraud", live=1, versions=[{"artifact": artifact()}])
        until(lambda: gateway.follower.table.entries.get("fraud"), "the route")
        until(lambda: gateway.follower.table.entries["fraud"].failures, "the failure")
        entry = gateway.follower.table.entries["fraud"]
        assert "raise HEADGATE_MODEL_MEMORY_BYTES" in entry.failures[1]
        code, words = gateway.refusal(infer_request([[1, 1, 1]]))
        assert (code, "raise HEADGATE_MODEL_MEMORY_BYTES" in words) == (grpc.StatusCode.UNAVAILABLE, True)
