"""Whatever a record holds, the code that reads it uses it, refuses it or names its fault. It raises no other error."""

import threading
from typing import Any

from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Protobuf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.dead_letters.letters import parse_letter, summary_of
from headgate.domain import access
from headgate.domain import environment as environments
from headgate.domain import model as models
from headgate.domain import policy as policies
from headgate.domain.fact import AccessFact, EnvironmentFact, fact_of
from headgate.domain.names import ACCESS_STREAM
from headgate.domain.refusal import Refused
from headgate.domain.state import AccessState, EnvironmentState, ModelState
from headgate.lifecycle.digest import state_digest
from headgate.lifecycle.fold import Fold
from headgate.lifecycle.stream import new_stream, record_of
from headgate.log import topics
from headgate.log.envelope import MalformedEvent, decode
from headgate.log.port import Record
from headgate.log.upstream import UnusableEvent, upstream_of
from headgate.runtime.observability.log_metrics import FoldMetrics
from headgate.runtime.observability.metric import DEPLOYER, EVALUATOR
from headgate.runtime.observability.metrics import Metrics
from headgate.telemetry.rules import flaw_of
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from headgate.v1 import telemetry_pb2 as telemetry
from headgate.view.redis import layout
from headgate.view.touched import refs_of, resource_at, touched
from headgate.worker.isolation import Undecidable
from services.deployer import pilot
from services.deployer.events import ReleaseEvents
from services.deployer.evidence import GatewayReports
from services.deployer.judge import judge
from services.deployer.readings import readings
from services.evaluator import due as evaluator
from services.evaluator.service_metrics import EvaluatorMetrics
from services.gateway.routes import routes
from services.registry.inbox import commands_of
from services.trainer import due as trainer
from tests.clocks import liveness, log_clock
from tests.protobufs import messages, texts

NOW_MS = 10**12
MODEL, ENVIRONMENT = "models/fraud", "environments/production"
thorough = settings(max_examples=60, suppress_health_check=list(HealthCheck))
headers = st.lists(st.tuples(st.one_of(texts, st.sampled_from(["ce_id", "ce_type", "content-type"])), st.binary()))


def record(topic: str, value: bytes | None, offset: int = 0, headers: Any = ()) -> Record:
    return Record(topic, 0, offset, 1, b"", value, tuple(headers))


def read_by_all_services(fold: Fold) -> None:
    """Does what each service does with the folded state after a change."""
    for stream in fold.streams.values():
        state_digest(stream)
    for state in fold.models.values():
        for ref in refs_of(state):
            resource = resource_at(state, ref)
            assert resource is not None
            layout.row(ref.kind, resource.SerializeToString())
    found: list[object] = list(pilot.due(fold.models, fold.environments, GatewayReports(), NOW_MS))
    pilot.pilots(fold.models, fold.environments, GatewayReports(), NOW_MS)
    found += evaluator.due(fold.models, "evaluator-0", liveness(NOW_MS), NOW_MS)
    idle = trainer.WorkerState("trainer-0", (), ())
    found += trainer.due(fold.models, idle, liveness(NOW_MS), NOW_MS, lambda claim, version: None)
    found += routes(fold.models, "production")
    assert [each for each in found if isinstance(each, Undecidable)] == []


def stream_of(body: object) -> str:
    """The stream to which this command or fact belongs."""
    if isinstance(body, environments.EnvironmentCommand | EnvironmentFact):
        return ENVIRONMENT
    return ACCESS_STREAM if isinstance(body, access.AccessCommand | AccessFact) else MODEL


def point_at_the_first(fact: Protobuf) -> None:
    """Uses numbers that exist, so that not every fact fails at the first look-up."""
    for name in ("version", "release", "candidate", "attempt"):
        if name in fact.DESCRIPTOR.fields_by_name:
            setattr(fact, name, 1)


@thorough
@given(forged=st.lists(messages(facts.LifecycleRecord), min_size=1, max_size=10), plausible=st.booleans())
def test_any_fact_that_follows_the_chain_can_stop_only_its_stream(
    forged: list[facts.LifecycleRecord], plausible: bool
) -> None:
    fold = Fold()
    listeners = Listeners(fold)
    for offset, each in enumerate(forged):
        fact = fact_of(each)
        each.stream = stream_of(fact)
        head = fold.streams.get(each.stream)
        each.sequence, each.previous_digest = (head.sequence + 1, head.digest) if head else (1, b"")
        if plausible and fact is not None:
            point_at_the_first(fact)
        stored = record(topics.LIFECYCLE, each.SerializeToString(), offset)
        accepted = fold.apply(stored)
        assert accepted is not None or fold.streams[each.stream].broken
        if accepted is not None:
            listeners.receive(stored, accepted)
    read_by_all_services(fold)


class Listeners:
    """The listeners of a service's fold. They get each accepted record and must not fail, or the fold would end."""

    def __init__(self, fold: Fold) -> None:
        self.lock = threading.RLock()
        self.models = fold.models
        self._fold = fold
        self._listeners: list[Any] = []
        self._metrics = FoldMetrics(Metrics(DEPLOYER), log_clock())
        ReleaseEvents(Metrics(DEPLOYER), self).listen()  # type: ignore[arg-type]  # it needs no more of a LifecycleFold
        self.on_accepted(EvaluatorMetrics(Metrics(EVALUATOR)).on_accepted)

    def on_accepted(self, listener: Any) -> None:
        self._listeners.append(listener)

    def receive(self, stored: Record, lifecycle: facts.LifecycleRecord) -> None:
        self._metrics.folded(lifecycle, 0.1)
        self._metrics.broke(lifecycle)
        state = self._fold.streams[lifecycle.stream].state
        if isinstance(state, ModelState):
            touched(state, lifecycle)
        for listener in self._listeners:
            listener(stored, lifecycle)
        list(readings(self.models, self._fold.environments, GatewayReports(), NOW_MS))


@thorough
@given(values=st.lists(st.one_of(st.none(), st.binary(max_size=60), messages(facts.LifecycleRecord)), max_size=8))
def test_a_record_that_no_registry_can_have_written_is_void_and_has_a_fault(values: list[Any]) -> None:
    fold = Fold()
    for offset, value in enumerate(values):
        fold.fault = None
        written = value.SerializeToString() if isinstance(value, Protobuf) else value
        if fold.apply(record(topics.LIFECYCLE, written, offset)) is None:
            assert fold.fault is not None or fold.streams
            assert fold.fault is None or fold.fault.reason
    read_by_all_services(fold)


@thorough
@given(sent=st.lists(messages(commands.Command), min_size=1, max_size=10), plausible=st.booleans())
def test_any_command_is_refused_or_leads_to_a_fact_that_folds(sent: list[commands.Command], plausible: bool) -> None:
    fold = Fold()
    for offset, command in enumerate(sent):
        body = getattr(command, command.WhichOneof("command") or "")
        if plausible:
            point_at_the_first(body)
        command.command_id = str(offset)
        command.stream = stream_of(body)
        stream = fold.streams.get(command.stream) or new_stream(command.stream)
        assert stream is not None
        decided: Any = None
        if isinstance(stream.state, ModelState) and isinstance(body, models.ModelCommand):
            decided = models.decide(stream.state, body, NOW_MS, fold.environments, command.actor)
        elif isinstance(stream.state, EnvironmentState) and isinstance(body, environments.EnvironmentCommand):
            decided = environments.decide(stream.state, body, 1)
        elif isinstance(stream.state, AccessState) and isinstance(body, access.AccessCommand):
            decided = access.decide(stream.state, body, 1)
        if decided is not None and not isinstance(decided, Refused):
            value = record_of(command, decided, stream, NOW_MS).SerializeToString(deterministic=True)
            assert fold.apply(record(topics.LIFECYCLE, value, offset)) is not None
            assert fold.streams[command.stream].broken == ""
    read_by_all_services(fold)


@thorough
@given(records=st.lists(messages(telemetry.TelemetryRecord), min_size=1, max_size=8))
def test_telemetry_has_a_flaw_or_can_be_judged(records: list[telemetry.TelemetryRecord]) -> None:
    seen = GatewayReports()
    for each in records:
        each.source, each.boot_id, each.sequence = each.source or "gateway-0", each.boot_id or "b", 1
        if each.HasField("evidence"):
            each.evidence.environment, each.evidence.model, each.evidence.release = "production", "fraud", 1
        if each.HasField("gateway_status"):
            each.gateway_status.environment = "production"
        if not flaw_of(each):
            seen.add(each)
    release = resources.Release(
        release=1, environment="production", candidate=2, stable=1, phase=resources.PHASE_STEPPING, epoch=3
    )
    judge(policies.resolve(release.policy).judge, seen.strata("fraud", release))
    seen.gateways("production")


@thorough
@given(
    value=st.one_of(st.none(), st.binary(), messages(telemetry.TelemetryRecord).map(lambda m: m.SerializeToString()))
)
def test_bytes_that_are_not_telemetry_have_a_flaw(value: bytes | None) -> None:
    try:
        parsed = telemetry.TelemetryRecord.FromString(value or b"")
    except DecodeError:
        return
    assert flaw_of(parsed) or (parsed.source and parsed.boot_id and parsed.sequence > 0)


@thorough
@given(value=st.one_of(st.none(), st.binary(), st.text().map(str.encode)), named=headers)
def test_an_upstream_event_becomes_a_command_or_is_refused_with_a_reason(value: bytes | None, named: Any) -> None:
    try:
        event = decode(record(topics.INBOX, value, headers=named))
        (command,) = commands_of(event, upstream_of(event), {})
    except (MalformedEvent, UnusableEvent):
        return
    assert command.command_id


@thorough
@given(value=st.one_of(st.none(), st.binary(), messages(commands.DeadLetter).map(lambda m: m.SerializeToString())))
def test_every_record_of_the_dead_letters_can_be_listed(value: bytes | None) -> None:
    stored = record(topics.DEAD_LETTERS, value)
    letter = parse_letter(stored)
    assert letter.HasField("settled") or summary_of(stored, letter).code
