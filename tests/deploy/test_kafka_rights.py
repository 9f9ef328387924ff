"""The address and users of k8s/components/strimzi on a real broker: each service has the rights it needs, no more.

The rights are those of the table in headgate.log.rights. With them all services work, each as its own principal.
"""

import time
from functools import partial

import pytest

from headgate.lifecycle.follower import LifecycleFold
from headgate.log import topics
from headgate.log.open import give_rights, open_log
from headgate.log.partitioner import partition_of
from headgate.log.port import EventLog, LogError, Message
from headgate.log.rights import RIGHTS
from headgate.v1 import commands_pb2 as commands
from headgate.v1 import configuration_pb2 as configuration
from headgate.v1 import facts_pb2 as facts
from headgate.v1 import resources_pb2 as resources
from services.deployer import app as deployer
from services.deployer import settings as deployer_settings
from services.evaluator import app as evaluator
from services.evaluator import settings as evaluator_settings
from services.gateway import app as gateway
from services.gateway import settings as gateway_settings
from services.registry import app as registry
from services.registry import settings as registry_settings
from services.trainer import app as trainer
from services.trainer import settings as trainer_settings
from tests.cli.running import run_headgate
from tests.conftest import available
from tests.deploy.changes import variable
from tests.deploy.cluster_policies import ACCESS
from tests.deploy.manifests import objects
from tests.deploy.secured_broker import SecuredBroker
from tests.evaluator.material import artifacts_in, files_of, logistic, rows_of, sealed_files, separable
from tests.trainer.repositories import repository
from tests.waiting import PATIENCE_SECONDS, until

pytestmark = pytest.mark.kafka

ALL = [topic.name for topic in topics.TOPICS]
KEY = b"models/fraud"


TEMPLATE = str(variable(objects("prod"), "registry", "HEADGATE_LOG")["value"])


@pytest.fixture(scope="module")
def broker(tmp_path_factory):
    running = available(lambda: SecuredBroker(tmp_path_factory.mktemp("secrets"), ACCESS))
    try:
        running.start()
        log = open_log(f"kafka://{running.address}")
        log.create_topics(topics.TOPICS)
        log.append_all([Message(topic, KEY, b"value") for topic in ALL])
        log.close()
        give_rights(f"kafka://{running.address}", {name: f"User:CN={name}" for name in RIGHTS})
        yield running
    finally:
        running.close()


@pytest.fixture(params=ACCESS)
def user(request, broker):
    log = open_log(broker.url(request.param, TEMPLATE))
    yield request.param, log
    log.close()


def may_read(log: EventLog, topic: str) -> bool:
    """Reads the partition with a record. An empty partition is not fetched, so the broker would refuse nothing."""
    try:
        return bool(log.read(topic, partition_of(KEY, topics.TOPICS[0].partitions), 0))
    except LogError as error:
        if "AuthorizationFailed" not in str(error):
            raise
        return False
    return True


def test_a_user_reads_and_writes_its_topics_and_reads_no_others(user):
    name, log = user
    reads, writes = ACCESS[name]
    log.create_topics(topics.TOPICS)  # like every service at its start: compares the topics with the declared ones
    log.append_all([Message(topic, KEY, b"value") for topic in writes])
    assert {topic for topic in ALL if may_read(log, topic)} == reads


def test_a_user_writes_no_other_topic(user):
    name, log = user
    forbidden = topics.INBOX if name == "registry" else topics.LIFECYCLE
    with pytest.raises(LogError, match="AuthorizationFailed"):
        log.append(Message(forbidden, KEY, b"value"))


def test_the_registry_is_a_member_of_its_groups(broker):
    log = open_log(broker.url("registry", TEMPLATE))
    try:
        deadline = time.monotonic() + PATIENCE_SECONDS
        with log.consumer(topics.COMMANDS, topics.REGISTRY_GROUP, "registry-0") as consumer:
            records = []
            while not records and time.monotonic() < deadline:
                records = consumer.poll(1.0)
            consumer.commit(records)
        assert log.committed(topics.COMMANDS, topics.REGISTRY_GROUP)
    finally:
        log.close()


def test_another_service_cannot_join_the_registrys_groups(broker):
    log = open_log(broker.url("trainer", TEMPLATE))
    try:
        with (
            pytest.raises(LogError, match="Authorization"),
            log.consumer(topics.COMMANDS, topics.REGISTRY_GROUP, "intruder") as consumer,
        ):
            consumer.poll(1.0)
    finally:
        log.close()


def test_with_a_password_a_service_has_the_rights_that_the_command_line_gives_it(broker, monkeypatch, capsys):
    give = partial(run_headgate, monkeypatch, capsys, "--log", f"kafka://{broker.address}", "topics", "acls", "--apply")
    code, out, _ = give()
    assert (code, "User:trainer has the rights of trainer" in out) == (0, True)
    assert give("--principal", "User:CN={name}")[0] == 0, "rights that are there already stay"
    log = open_log(broker.scram_url("trainer"))
    try:
        log.append(Message(topics.COMMANDS, KEY, b"value"))
        with pytest.raises(LogError, match="AuthorizationFailed"):
            log.append(Message(topics.LIFECYCLE, KEY, b"value"))
    finally:
        log.close()


def test_every_service_does_its_work_as_its_own_principal(broker, tmp_path):
    """A trainer fails one version. Another one is evaluated, passes its gate, and is released to a gateway."""
    artifacts, store = artifacts_in(tmp_path), (tmp_path / "store").as_uri()
    files = {"artifacts": store, "keys": tmp_path / "keys"}
    url = partial(broker.url, template=TEMPLATE)
    services = {
        "registry": registry.build(registry_settings.Settings(log=url("registry"), port=0, **files)),
        "evaluator": evaluator.build(evaluator_settings.Settings(log=url("evaluator"), **files)),
        "deployer": deployer.build(deployer_settings.Settings(log=url("deployer"))),
        "gateway": gateway.build(gateway_settings.Settings(log=url("gateway"), **files)),
        "trainer": trainer.build(trainer_settings.Settings(log=url("trainer"), work=tmp_path / "work", **files)),
    }
    log = open_log(url("operator"))
    fold = LifecycleFold(log)
    fold.start()
    started = []

    def start(*names):
        for name in names:
            services[name].start()
            started.append(services[name])

    def state_of(model, found):
        with fold.lock:
            return model in fold.models and found(fold.models[model])

    try:
        start("registry")
        sealed = sealed_files(artifacts, tmp_path, 1, files_of(logistic([5.0, 0.0]), rows_of(*separable())))
        for number, command in enumerate(until_trained(sealed.artifact)):
            command.command_id, command.actor = f"work/{number}", "trainer"
            log.append(Message(topics.COMMANDS, command.stream.encode(), command.SerializeToString()))
        until(lambda: state_of("fraud", lambda state: state.versions[1].build == resources.BUILD_STATE_TRAINED))
        start("evaluator", "deployer", "gateway", "trainer")
        source, commit = repository(tmp_path / "tiny", tests="python -c 'raise SystemExit(1)'")
        create = commands.CreateVersion(repository=source, commit=commit)
        command = commands.Command(command_id="create", stream="models/tiny", create_version=create)
        log.append(Message(topics.COMMANDS, b"models/tiny", command.SerializeToString()))
        failed = resources.BUILD_STATE_TESTS_FAILED
        until(lambda: state_of("tiny", lambda state: state.versions[1].build == failed), "the trainer")
        # Nothing was live before, so the bake is over as soon as it begins.
        completed = resources.PHASE_COMPLETED
        until(lambda: state_of("fraud", lambda state: state.releases[1].phase == completed), "the deployer")
        until(lambda: state_of("fraud", lambda state: state.releases[1].applied_at_ms > 0), "the gateway")
    finally:
        for service in reversed(started):
            service.stop(5)
        fold.close()
        log.close()


def phase_of(state):
    """The phase of the first release; 0 while there is none."""
    return state.releases[1].phase if 1 in state.releases else 0


def until_trained(artifact):
    """What a trainer says of the first version of fraud."""
    wish = configuration.ReleaseWish(environment="production", strategy=configuration.STRATEGY_CANARY)
    tested = facts.CodeTested(version=1, attempt=1, passed=True)
    tested.configuration.CopyFrom(configuration.ModelConfiguration(model="fraud", task="binary", release=wish))
    finished = facts.TrainingFinished(version=1, attempt=1, artifact=artifact)
    claim = commands.StartTesting(version=1, attempt=1, worker="trainer", lease_ms=60_000)
    started = commands.ReportTrainingStarted(fact=facts.TrainingStarted(version=1, attempt=1))
    said = [
        {"create_version": commands.CreateVersion(repository="/here", commit="1" * 40)},
        {"start_testing": claim},
        {"report_code_tested": commands.ReportCodeTested(fact=tested)},
        {"report_training_started": started},
        {"report_training_finished": commands.ReportTrainingFinished(fact=finished)},
    ]
    return [commands.Command(stream="models/fraud", **each) for each in said]
