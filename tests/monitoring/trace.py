"""What a commit leaves from `headgate publish` to the gateway's switch: spans, lines for units of work, and facts."""

import json
from contextlib import closing
from pathlib import Path

from headgate.lifecycle.stream import parse
from headgate.log import topics
from headgate.log.envelope import decode
from headgate.log.open import open_log
from headgate.log.scan import scan_all
from tests.otlp_collector import Collector, Span
from tests.waiting import until

STREAM = "models/breast-cancer"
SERVICES = ("registry", "trainer", "evaluator", "deployer", "gateway")

# The span of each hop, and its parent span.
HOPS = (
    (("registry", "event dev.cdevents.change.merged.0.3.0"), ("cli", "publish")),
    (("trainer", "issue start_testing"), ("registry", "event dev.cdevents.change.merged.0.3.0")),
    (("registry", "command start_testing"), ("trainer", "issue start_testing")),
    (("trainer", "work training"), ("registry", "command start_testing")),
    (("trainer", "issue report_training_finished"), ("trainer", "work training")),
    (("registry", "command report_training_finished"), ("trainer", "issue report_training_finished")),
    (("registry", f"signing {STREAM}/versions/1"), ("registry", "command report_training_finished")),
    (("evaluator", "issue start_evaluation"), ("registry", f"signing {STREAM}/versions/1")),
    (("evaluator", "work evaluation"), ("registry", "command start_evaluation")),
    (("evaluator", "issue decide_gate"), ("registry", "command report_evaluation_finished")),
    (("deployer", "issue start_release"), ("registry", "command decide_gate")),
    (("deployer", "issue begin_release"), ("registry", "command start_release")),
    (("gateway", f"load {STREAM}/versions/1"), ("registry", "command begin_release")),
    (("deployer", "issue report_candidate_ready"), ("registry", "command begin_release")),
    (("deployer", "issue promote_release"), ("registry", "command report_candidate_ready")),
    (("gateway", "route switch"), ("registry", "command promote_release")),
)


def has_hop(spans: list[Span], hop: tuple[tuple[str, str], tuple[str, str]]) -> bool:
    ids = {span.id: (span.service, span.name) for span in spans}
    return any((span.service, span.name) == hop[0] and ids.get(span.parent) == hop[1] for span in spans)


def lines(folder: Path, service: str) -> list[dict[str, object]]:
    written = (folder / ".headgate" / "logs" / f"{service}.log").read_text().splitlines()
    return [json.loads(line) for line in written if line.startswith("{")]


def check_trace(collector: Collector, trace: str) -> None:
    def missing() -> list[object]:
        """The hops that have not arrived, and the spans whose parent has not arrived."""
        spans = [span for span in collector.spans() if span.trace == trace]
        ids = {span.id for span in spans}
        orphans = [span.name for span in spans if span.parent and span.parent not in ids]
        return [*orphans, *(hop for hop in HOPS if not has_hop(spans, hop))]

    until(lambda: not missing(), "the hops", pause_seconds=0.1)
    spans = [span for span in collector.spans() if span.trace == trace]
    assert [span.name for span in spans if not span.parent] == ["publish"]
    (created,) = (span for span in spans if span.name == "command start_testing")
    assert created.attributes["headgate.stream"] == STREAM
    assert created.attributes["headgate.sequence"] == 2


def check_lines(folder: Path, trace: str) -> None:
    """Checks that each service wrote one line for each unit of work, and those of the trace with its id."""
    written = {service: lines(folder, service) for service in SERVICES}
    for service, of_service in written.items():
        units = [line for line in of_service if line["logger"] == "headgate.work"]
        assert units, service
        for line in units:
            assert {"unit", "what", "outcome", "duration_ms"} <= line.keys()
            assert line["service"] == f"{service}-0"
        assert any(line.get("trace_id") == trace for line in units), service
    of_trace = {service: [line for line in some if line.get("trace_id") == trace] for service, some in written.items()}
    (decided,) = (line for line in of_trace["registry"] if line.get("what") == "start_testing")
    assert (decided["unit"], decided["outcome"], decided["decision"]) == ("command", "ok", "accepted")
    assert (decided["stream"], decided["sequence"]) == (STREAM, 2)
    assert str(decided["command_id"]).startswith(f"{STREAM}/versions/1/attempts/1/")
    promoted = [line for line in of_trace["registry"] if line.get("what") == "promote_release"]
    assert promoted[0]["correlation_id"] == decided["correlation_id"]
    trained = [line for line in of_trace["trainer"] if line.get("unit") == "work"]
    assert [(line["what"], line["report"]) for line in trained] == [("training", "report_training_finished")]


def check_log(folder: Path, trace: str) -> None:
    """Checks that the facts carry the trace, in the record and in the envelope, until the version is live."""
    with closing(open_log(f"sqlite://{folder}/.headgate/log.db")) as log:
        for record in scan_all(log, topics.LIFECYCLE):
            fact = parse(record.value or b"")
            assert fact is not None
            if fact.stream == STREAM:
                assert fact.trace_parent.split("-")[1] == trace
                assert decode(record).attributes["traceparent"] == fact.trace_parent
                if fact.HasField("release_completed"):
                    return
    raise AssertionError("no version went live")
