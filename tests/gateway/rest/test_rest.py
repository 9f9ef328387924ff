"""The REST server as its callers see it, on a real socket."""

import gzip
import http.client
import json
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

from headgate.runtime.rpc.errors import MAX_RULE_BYTES
from headgate.v1 import telemetry_pb2 as telemetry
from services.gateway.rest import connection as connections
from services.gateway.rest.limits import MAX_BODY_BYTES
from tests.gateway import networks
from tests.gateway.harness import Gate, canary, until
from tests.gateway.rest.serving import rows, running_rest
from tests.metrics.exposed import parsed, text_of
from tests.waiting import PATIENCE_SECONDS


@pytest.fixture(scope="module")
def stand():
    kinds = {
        ("fraud", 1): networks.affine(2.0),
        ("fraud", 2): networks.affine(3.0),
        ("fraud", 3): networks.root(),
        ("mixed", 1): networks.mixed(),
        ("half", 1): networks.half(),
    }
    with running_rest(kinds) as rest:
        rest.gateway.serve("mixed", live=1)
        rest.gateway.serve("half", live=1)
        yield rest


@pytest.fixture
def rest(stand):
    stand.gateway.serve(live=1)
    return stand


def test_one_line_of_json_gets_a_prediction_that_names_who_answered(rest):
    answer = rest.infer(rows(1, 2, 3, id="r-1"))
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")
    assert answer.json["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [2, 4, 6]}]
    assert (answer.json["model_name"], answer.json["model_version"], answer.json["id"]) == ("fraud", "1", "r-1")
    assert answer.json["parameters"]["arm"] == "stable"


def test_binary_tensors_go_in_and_come_out(rest):
    array = np.arange(3, dtype=np.float32)
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 3], "parameters": {"binary_data_size": 12}}
    text = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    length = {"Inference-Header-Content-Length": str(len(text))}
    answer = rest.ask("POST", "/v2/models/fraud/versions/1/infer", text + array.tobytes(), length)
    start = int(answer.headers["inference-header-content-length"])
    assert json.loads(answer.content[:start])["outputs"][0]["parameters"] == {"binary_data_size": 12}
    assert np.frombuffer(answer.content[start:], np.float32).tolist() == [0, 2, 4]
    assert answer.headers["content-type"] == "application/octet-stream"


def test_every_kind_of_tensor_comes_back_as_it_was_sent(rest):
    sent = {
        "i64": ("INT64", [-(2**40), 7]),
        "u8": ("UINT8", [0, 255]),
        "f64": ("FP64", [0.1, -0.2]),
        "flag": ("BOOL", [True, False]),
        "text": ("BYTES", ["caf\u00e9", ""]),
    }
    inputs = [{"name": n, "datatype": t, "shape": [2], "data": data} for n, (t, data) in sent.items()]
    answer = rest.infer({"inputs": inputs}, model="mixed")
    assert {output["name"]: output["data"] for output in answer.json["outputs"]} == {
        f"{name}_out": data for name, (_, data) in sent.items()
    }


def test_half_precision_goes_in_as_binary_data_and_may_come_out_as_json(rest):
    tensor = {"name": "x", "datatype": "FP16", "shape": [2], "parameters": {"binary_data_size": 4}}
    text = json.dumps({"inputs": [tensor]}).encode()
    body = text + np.array([0.5, 2], np.float16).tobytes()
    answer = rest.infer(body, model="half", inference_header_content_length=str(len(text)))
    assert answer.json["outputs"][0]["data"] == [0.5, 2]


def test_an_answer_with_nan_says_so_because_json_cannot(rest):
    rest.gateway.serve(live=3)
    answer = rest.infer(rows(-1, 4, 9))
    assert answer.json["outputs"][0]["data"] == [None, 2, 3]
    assert answer.json["parameters"]["headgate_bad"] is True


@pytest.mark.parametrize(
    ("encoding", "pack", "unpack"),
    [("gzip", gzip.compress, gzip.decompress), ("deflate", zlib.compress, zlib.decompress)],
)
def test_compressed_requests_and_answers(rest, encoding, pack, unpack):
    body = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [200, 3], "data": [1.5] * 600}]}
    packed = pack(json.dumps(body).encode())
    answer = rest.infer(packed, content_encoding=encoding, accept_encoding=f"br, {encoding};q=0.5")
    assert answer.headers["content-encoding"] == encoding
    assert json.loads(unpack(answer.content))["outputs"][0]["data"] == [3.0] * 600


@pytest.mark.parametrize(
    ("body", "encoding", "status", "code"),
    [
        (b"no gzip", "gzip", 400, "malformed-request"),
        (gzip.compress(b"{}")[:-4], "gzip", 400, "malformed-request"),
        (gzip.compress(b"{}") + b"more", "gzip", 400, "malformed-request"),
        (gzip.compress(bytes(MAX_BODY_BYTES + 1)), "gzip", 413, "request-too-large"),
        (b"{}", "br", 415, "unknown-encoding"),
    ],
    ids=["none", "cut", "longer", "large", "other"],  # compressed bytes hold the time, and workers compare the ids
)
def test_a_compressed_body_that_is_broken_too_large_or_unknown_is_refused(rest, body, encoding, status, code):
    answer = rest.infer(body, content_encoding=encoding)
    assert (answer.status, answer.json["code"]) == (status, code)


def test_a_text_of_the_caller_makes_no_error_long(rest):
    answer = rest.ask("GET", f"/v2/models/fraud/versions/{'9' * 5_000}/ready")
    assert (answer.status, answer.json["code"]) == (404, "version-not-loaded")
    assert len(answer.json["error"]) <= MAX_RULE_BYTES


def test_the_server_says_that_it_is_live_ready_and_what_it_is(rest):
    assert (rest.ask("GET", "/v2/health/live").status, rest.ask("GET", "/v2/health/ready").status) == (200, 200)
    server = rest.ask("GET", "/v2").json
    assert server["name"] == "headgate"
    assert "binary_tensor_data" in server["extensions"]
    rest.gateway.ready = False
    assert rest.ask("GET", "/v2/health/ready").status == 503
    rest.gateway.ready = True


def test_a_model_says_whether_it_is_ready_and_what_it_takes(rest):
    assert rest.ask("GET", "/v2/models/fraud/ready").status == 200
    assert rest.ask("GET", "/v2/models/fraud/versions/1/ready").status == 200
    assert rest.ask("GET", "/v2/models/fraud/versions/9/ready").status == 404
    described = rest.ask("GET", "/v2/models/fraud").json
    assert described["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    assert described["versions"] == ["1"]


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/v1/models", 404, "there is no path"),
        ("GET", "/v2/models/%ff", 404, "there is no path"),
        ("GET", "/v2/models/nobody", 404, "there is no model 'nobody'"),
        ("POST", "/v2/models/fraud/versions/9/infer", 404, "version '9' of fraud does not exist"),
        ("GET", "/v2/models/fraud/infer", 405, "GET is not for this path; it takes POST"),
        ("DELETE", "/v2", 405, "DELETE is not for this path; it takes GET, HEAD"),
    ],
)
def test_what_is_not_there_is_an_error_in_json(rest, method, path, status, words):
    body = json.dumps(rows(1, 2, 3)) if method == "POST" else None
    answer = rest.ask(method, path, body)
    assert answer.status == status
    assert words in answer.json["error"]


def test_options_names_the_verbs_and_head_has_no_content(rest):
    assert rest.ask("OPTIONS", "/v2/models/fraud/infer").headers["allow"] == "POST, OPTIONS"
    head = rest.ask("HEAD", "/v2/models/fraud")
    assert (head.status, head.content) == (200, b"")
    assert int(head.headers["content-length"]) > 0


def test_a_refusal_has_a_sentence_a_code_and_the_field(rest):
    answer = rest.infer(rows(1, 2))
    assert answer.status == 400
    assert answer.json == {
        "error": "input 'x': expected shape [-1, 3], where -1 is any size from 1 up, got [1, 2]",
        "code": "invalid-input",
        "field": "inputs",
    }


@pytest.mark.parametrize("timeout", ["0", "-1", "1.5", "soon", "9" * 30])
def test_a_timeout_that_is_no_number_of_milliseconds_is_refused(rest, timeout):
    answer = rest.infer(rows(1, 2, 3), x_request_timeout_ms=timeout)
    assert (answer.status, answer.json["field"]) == (400, "x-request-timeout-ms")


def test_the_callers_id_of_the_request_comes_back_also_with_an_error(rest):
    assert rest.infer(rows(1, 2, 3), x_request_id="abc").headers["x-request-id"] == "abc"
    assert rest.infer(b"{", x_request_id="abc").headers["x-request-id"] == "abc"


def test_the_routing_key_is_a_header_or_a_parameter_and_answers_are_evidence(rest):
    rest.gateway.serve(live=1, release=canary(5_000, epoch=30))
    by_header = [rest.infer(rows(1, 2, 3), x_routing_key=f"k{n}").json["model_version"] for n in range(20)]
    by_parameter = [
        rest.infer(rows(1, 2, 3, parameters={"routing_key": f"k{n}"})).json["model_version"] for n in range(20)
    ]
    assert by_header == by_parameter
    assert set(by_header) == {"1", "2"}
    counts = rest.gateway.counts()
    assert counts[telemetry.ARM_CANDIDATE].requests == 2 * by_header.count("2")
    assert counts[telemetry.ARM_STABLE].requests == 2 * by_header.count("1")


def test_an_unexpected_error_shows_an_incident_and_nothing_else(rest, monkeypatch, caplog):
    monkeypatch.setattr(rest.gateway.inference, "server_live", lambda: 1 / 0)
    answer = rest.ask("GET", "/v2/health/live")
    assert answer.status == 500
    assert "division" not in answer.json["error"]
    assert caplog.records[-1].incident in answer.json["error"]


def test_calls_are_counted_by_method_and_status(rest):
    def counted(method, code):
        shown = parsed(text_of(rest.gateway.metrics))
        return shown.value("headgate_rpc_requests_total", rpc_service="rest.v2", method=method, code=code) or 0

    before = counted("ModelInfer", "OK"), counted("ModelInfer", "INVALID_ARGUMENT"), counted("Other", "NOT_FOUND")
    rest.infer(rows(1, 2, 3))
    rest.infer(b"{")
    rest.ask("GET", "/nothing")
    after = counted("ModelInfer", "OK"), counted("ModelInfer", "INVALID_ARGUMENT"), counted("Other", "NOT_FOUND")
    assert [new - old for old, new in zip(before, after, strict=True)] == [1, 1, 1]


def test_a_caller_with_another_protocol_gets_a_sentence_and_the_end(rest):
    assert b"gRPC has a port of its own" in rest.exchange(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert b"TLS" in rest.exchange(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")


def test_a_body_that_is_too_large_is_refused_while_the_caller_still_sends(rest):
    head = b"POST /v2/models/fraud/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (MAX_BODY_BYTES + 1)
    assert rest.exchange(head + bytes(1_000_000)).startswith(b"HTTP/1.1 413 ")


def test_pipelined_requests_are_answered_in_their_order(rest):
    asked = b"".join(b"GET /v2/models/%b HTTP/1.1\r\nHost: a\r\n\r\n" % name for name in (b"a", b"b", b"c"))
    last = b"GET /v2/models/d HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    received = rest.exchange(asked * 30 + last)
    names = [part[:1] for part in received.split(b"there is no model '")[1:]]
    assert names == [b"a", b"b", b"c"] * 30 + [b"d"]


@pytest.fixture
def slow():
    gate = Gate()
    versions = {("fraud", 1): networks.affine(2.0), ("fraud", 2): networks.affine(3.0)}
    with running_rest(versions, {("fraud", 1): gate}) as rest:
        rest.gateway.serve(live=1)
        yield rest, gate
        gate.open()


def test_a_slow_version_delays_no_other_request(slow):
    rest, gate = slow
    with ThreadPoolExecutor(1) as callers:
        waiting = callers.submit(rest.infer, rows(1, 2, 3))
        gate.await_entered()
        assert rest.ask("GET", "/v2/health/live").status == 200
        gate.open()
        assert waiting.result().json["outputs"][0]["data"] == [2, 4, 6]


def test_a_timeout_ends_the_wait_with_an_answer(slow):
    rest, _ = slow
    answer = rest.infer(rows(1, 2, 3), x_request_timeout_ms="50")
    assert (answer.status, answer.json["code"]) == (504, "deadline-passed")


def test_a_caller_that_goes_away_is_a_bad_answer_of_the_version_that_ran(slow):
    rest, gate = slow
    rest.gateway.serve(live=1, release=canary(0, epoch=4))
    body = json.dumps(rows(1, 2, 3)).encode()
    with rest.socket() as caller:
        head = b"POST /v2/models/fraud/infer HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body)
        caller.sendall(head + body)
        gate.await_entered()
    until(lambda: rest.gateway.counts()[telemetry.ARM_STABLE].bad_requests == 1, "the bad answer")


def test_a_stopping_server_finishes_what_runs_and_closes_the_connection(slow):
    rest, gate = slow
    with ThreadPoolExecutor(1) as callers:
        waiting = callers.submit(rest.infer, rows(1, 2, 3))
        gate.await_entered()
        stopping = threading.Thread(target=rest.stop, args=(30.0,))
        stopping.start()
        until(lambda: rest.server.is_closed, "the closed port")
        gate.open()
        answer = waiting.result()
        stopping.join()
    assert (answer.status, answer.headers["connection"]) == (200, "close")


def test_a_request_on_an_idle_connection_of_a_stopping_server_is_answered_and_told_that_it_was_the_last(
    slow, monkeypatch
):
    rest, gate = slow
    gate.open()
    monkeypatch.setattr(connections, "IDLE_DRAIN_SECONDS", PATIENCE_SECONDS)
    with closing(http.client.HTTPConnection("127.0.0.1", rest.port, timeout=PATIENCE_SECONDS)) as kept:
        assert "connection" not in rest.ask_on(kept, "GET", "/v2/models/fraud").headers
        stopping = threading.Thread(target=rest.stop, args=(2 * PATIENCE_SECONDS,))
        stopping.start()
        until(lambda: rest.server.is_closed, "the closed port")
        answer = rest.ask_on(kept, "GET", "/v2/models/fraud")
        stopping.join()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
