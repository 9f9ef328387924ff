"""Units of work in the log: each is one line, with its noted fields and without secrets."""

import json
import logging
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from headgate.domain.credentials import without_credentials
from headgate.log import topics
from headgate.log.open import open_log
from headgate.log.port import Message
from headgate.runtime.observability import tracing, work_log
from headgate.runtime.observability.logs import JsonFormatter, add_unit_fields
from headgate.runtime.settings import SettingsError
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import registry_service_pb2_grpc as registry_service_grpc
from tests.waiting import PATIENCE_SECONDS, until

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.fixture
def written() -> Iterator[list[dict[str, object]]]:
    """The lines logged in this process."""
    found: list[dict[str, object]] = []
    formatter = JsonFormatter("test-0")

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(json.loads(formatter.format(record)))

    handler = Keep()
    handler.addFilter(add_unit_fields)
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.INFO)
    root.addHandler(handler)
    yield found
    root.removeHandler(handler)
    root.setLevel(level)


def test_noted_fields_are_in_the_units_line_and_in_lines_logged_during_the_unit(
    written: list[dict[str, object]],
) -> None:
    with work_log.unit_of_work("command", "create_model", PARENT, stream="models/fraud", correlation_id=""):
        work_log.note(sequence=7)
        logging.getLogger("elsewhere").warning("odd")
    logging.getLogger("elsewhere").warning("outside")
    meanwhile, line, outside = written
    assert (meanwhile["message"], meanwhile["stream"], meanwhile["trace_id"]) == ("odd", "models/fraud", TRACE)
    assert (line["message"], line["outcome"], line["sequence"]) == ("command create_model: ok", "ok", 7)
    assert isinstance(line["duration_ms"], float)
    assert "correlation_id" not in line
    assert "stream" not in outside


def test_a_failed_unit_records_its_error_and_raises_it(written: list[dict[str, object]]) -> None:
    with pytest.raises(ZeroDivisionError), work_log.unit_of_work("work", "training"):
        raise ZeroDivisionError
    assert (written[0]["outcome"], written[0]["code"], written[0]["level"]) == ("error", "ZeroDivisionError", "error")


def test_a_unit_continues_its_parent_or_the_enclosing_unit_and_passes_the_ids_on() -> None:
    assert work_log.current_trace_parent() == ""
    with work_log.unit_of_work("command", "create_model", PARENT), work_log.unit_of_work("issue", "start_testing"):
        assert work_log.current_trace_parent() == PARENT
    with work_log.unit_of_work("command", "create_model"):
        assert work_log.current_trace_parent() == ""


def test_an_invalid_parent_is_ignored_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[int] = []
    monkeypatch.setattr(work_log, "_count_invalid", lambda: counted.append(1))
    for parent in ("", PARENT, "00-nonsense", PARENT.replace("00-", "ff-", 1)):
        with work_log.unit_of_work("command", "create_model", parent):
            assert work_log.current_trace_parent() == (PARENT if parent == PARENT else "")
    assert len(counted) == 2


@pytest.mark.parametrize(
    "endpoint", ["otel:4317", "ftp://otel:4317", "http://", "http://otel:99999", "http://otel:0", "http://[otel"]
)
def test_an_invalid_endpoint_is_refused(endpoint: str) -> None:
    with pytest.raises(SettingsError, match=r"HEADGATE_TRACES=.*OTLP gRPC endpoint"):
        tracing.start(endpoint, "registry", "registry-0")


def test_the_error_names_the_extra_that_tracing_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*(name for name in sys.modules if name.startswith("opentelemetry")), "opentelemetry"]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "headgate.runtime.observability.tracing_otel", raising=False)
    with pytest.raises(SettingsError, match=re.escape("pip install 'headgate[tracing]'")):
        tracing.start("http://127.0.0.1:4317", "registry", "registry-0")


def test_only_the_passwords_in_addresses_are_masked() -> None:
    line = '{"log": "kafka://k:9092?sasl_plain_password=geheim&x=1", "redis": "redis://u:geheim@r:6379/0", "n": 1}'
    masked = without_credentials(line)
    assert "geheim" not in masked
    assert json.loads(masked)["n"] == 1
    assert "redis://***@r:6379/0" in masked


class Process:
    """A registry in its own process. Its log lines are read when it ends."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.url = f"sqlite://{folder}/log.db"
        environ = {name: value for name, value in os.environ.items() if not name.startswith("HEADGATE_")}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "services.registry"],
            env=environ | {"HEADGATE_LOG": self.url, "HEADGATE_PORT": "0", **settings},
            stderr=subprocess.PIPE,
            text=True,
        )
        self._written: list[str] = []

    def port(self) -> int:
        return int(self.wait_for_line(r"port=(\d+)")[1])

    def wait_for_line(self, pattern: str) -> re.Match[str]:
        """Reads the log until a line has the pattern."""
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self._written.append(line)
            if found := re.search(pattern, line):
                return found
        raise AssertionError(f"the registry ended before it wrote {pattern}: {self._written}")

    def lines(self) -> list[dict[str, object]]:
        assert self._process.stderr is not None
        self._process.send_signal(signal.SIGTERM)
        self._written.extend(self._process.stderr)  # not communicate(), which misses what was read ahead
        self._process.communicate(timeout=PATIENCE_SECONDS)
        return [json.loads(line) for line in self._written]

    def exit_code(self) -> tuple[int, str]:
        errors = self._process.communicate(timeout=PATIENCE_SECONDS)[1]
        return self._process.returncode, errors


def test_each_call_command_and_event_of_a_process_is_one_line(tmp_path: Path) -> None:
    process = Process(tmp_path, HEADGATE_LOG_LEVEL="info")
    with grpc.insecure_channel(f"127.0.0.1:{process.port()}") as channel:
        registry = registry_service_grpc.RegistryServiceStub(channel)
        parent = [("traceparent", PARENT)]
        registry.CreateModel(
            registry_service.CreateModelRequest(model="fraud", request_id="r1"),
            timeout=PATIENCE_SECONDS,
            metadata=parent,
        )
        with pytest.raises(grpc.RpcError):
            registry.GetModel(registry_service.GetModelRequest(name="models/nobody"), timeout=PATIENCE_SECONDS)
        log = open_log(process.url)
        create = commands.CreateVersion(repository="/r", commit="0" * 40)
        command = commands.Command(
            command_id="c1", stream="models/fraud", correlation_id="0" * 40, create_version=create
        )
        log.append(Message(topics.COMMANDS, b"models/fraud", command.SerializeToString()))
        log.append(Message(topics.INBOX, b"fraud", b"{}", event_headers("no.such.type")))
        watched = registry.WatchHistory(
            registry_service.WatchHistoryRequest(stream="models/fraud"), timeout=PATIENCE_SECONDS
        )
        facts = [next(watched).record.record for _ in range(2)]
        watched.cancel()
        process.wait_for_line("RegistryService/WatchHistory")
        until(lambda: any(log.end(topics.DEAD_LETTERS).values()), "the event's letter")
        log.close()
    assert [fact.WhichOneof("fact") for fact in facts] == ["model_created", "version_created"]
    assert [fact.trace_parent for fact in facts] == [PARENT, ""]
    units = {line["what"]: line for line in process.lines() if line["logger"] == "headgate.work"}
    created = units["RegistryService/CreateModel"]
    assert {name: created[name] for name in ("service", "unit", "stream", "sequence", "command_id", "outcome")} == {
        "service": "registry-0",
        "unit": "rpc",
        "stream": "models/fraud",
        "sequence": 1,
        "command_id": "r1",
        "outcome": "ok",
    }
    assert created["trace_id"] == TRACE
    missed = units["RegistryService/GetModel"]
    assert (missed["outcome"], missed["code"], "trace_id" in missed) == ("refused", "NOT_FOUND", False)
    decided = units["create_version"]
    assert (decided["unit"], decided["sequence"], decided["correlation_id"]) == ("command", 2, "0" * 40)
    assert units["RegistryService/WatchHistory"]["outcome"] == "cancelled"
    buried = units["no.such.type"]
    assert (buried["unit"], buried["outcome"], buried["code"]) == ("event", "buried", "unknown-type")


def event_headers(kind: str) -> tuple[tuple[str, bytes], ...]:
    attributes = {"specversion": "1.0", "id": "1", "source": "/ci", "type": kind}
    return tuple((f"ce_{name}", text.encode()) for name, text in attributes.items())


def test_only_spans_are_lost_when_the_collector_does_not_answer(tmp_path: Path) -> None:
    process = Process(tmp_path, HEADGATE_TRACES="http://127.0.0.1:1")
    with grpc.insecure_channel(f"127.0.0.1:{process.port()}") as channel:
        registry = registry_service_grpc.RegistryServiceStub(channel)
        registry.CreateModel(registry_service.CreateModelRequest(model="fraud"), timeout=PATIENCE_SECONDS)
    started = time.monotonic()
    lines = process.lines()
    assert time.monotonic() - started < PATIENCE_SECONDS / 2
    assert "trace_id" in next(line for line in lines if line.get("what") == "RegistryService/CreateModel")
    warned = [line["message"] for line in lines if line["level"] not in ("info", "debug")]
    assert all(message.startswith(("authentication is off", "nothing is signed here")) for message in warned)


def test_a_process_with_wrong_settings_names_them(tmp_path: Path) -> None:
    process = Process(tmp_path, HEADGATE_LOG_LEVEL="loud", HEADGATE_TRACES="otel")
    code, errors = process.exit_code()
    assert code == 78
    assert "HEADGATE_LOG_LEVEL='loud': expected one of debug, info, warning, error" in errors
