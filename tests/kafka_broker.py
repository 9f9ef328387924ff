"""A real Kafka broker for tests and for `make kafka`: one JVM, no Docker, its data in its own folder.

The jars are downloaded once from Maven, into .cache/kafka. The JVM ends with the process that started it.
"""

import base64
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests.server_process import ServerUnavailable, await_ready, end, free_ports, freeze, launch, listens

TESTED_VERSION = "4.4.0"
"""The version that Headgate is tested on, and that docker-compose.yml starts."""
VERSION_VARIABLE = "HEADGATE_KAFKA_VERSION"
"""The variable for another version of Kafka to download and test on."""
VERSION = os.environ.get(VERSION_VARIABLE) or TESTED_VERSION
DOWNLOAD_SECONDS = 600.0
FORMAT_SECONDS = 60.0
READY_SECONDS = 90.0
EXIT_ON_SIGTERM = 128 + signal.SIGTERM
"""The JVM's exit code when it has shut down."""
ADDRESS_VARIABLE = "HEADGATE_KAFKA"
"""The variable for a running broker (host:port) to use instead of starting one."""

_ROOT = Path(__file__).resolve().parent.parent
_POM = _ROOT / "tests" / "kafka" / "pom.xml"
_JARS = _ROOT / ".cache" / "kafka" / VERSION
_FORMATTED = _ROOT / ".cache" / "kafka" / f"{VERSION}-blank"
_CLASSES = _ROOT / ".cache" / "kafka" / f"{VERSION}.jsa"
_JVM = ("-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")

_PROPERTIES = """
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={directory}/data
default.replication.factor={copies}
min.insync.replicas={insync}
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={insync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={insync}
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
auto.create.topics.enable=false
# A broker without work writes a record to its metadata every half second by default: a third of what it costs idle.
metadata.max.idle.interval.ms=30000
# The default of 128 MB is half of the heap here, and a broker needs that memory to recover after a crash.
log.cleaner.dedupe.buffer.size=8388608
"""

_LOCKED = """
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},SASL_SSL://127.0.0.1:{locked}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},SASL_SSL://127.0.0.1:{locked}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL
listener.name.sasl_ssl.sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=\
    org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.ssl.keystore.type=PEM
listener.name.sasl_ssl.ssl.keystore.location={keystore}
"""

_LOG4J = """
rootLogger.level = WARN
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %m (%c)%n
"""


class BrokerUnavailable(Exception):
    """The broker cannot run here. The message names what is missing, or has the broker's last output."""


@dataclass(frozen=True, slots=True)
class Lock:
    """The security of a listener: TLS with the key and certificate in a PEM file, and one user's password."""

    keystore: Path
    user: str
    password: str


@dataclass(frozen=True, slots=True)
class Node:
    """One broker of a cluster. Each is also a controller."""

    number: int
    ports: tuple[int, int]
    voters: str
    copies: int
    insync: int
    cluster: str


def _nodes(count: int) -> list[Node]:
    ports = free_ports(2 * count)
    pairs = list(zip(ports[::2], ports[1::2], strict=True))
    voters = ",".join(f"{number}@127.0.0.1:{controller}" for number, (_, controller) in enumerate(pairs, 1))
    cluster = str(uuid.uuid4())
    insync = max(1, count - 1)
    return [Node(number, pair, voters, count, insync, cluster) for number, pair in enumerate(pairs, 1)]


class KafkaBroker:
    """One broker. It keeps its port and data after `kill` and `start`, like a broker that crashes.

    With a `lock` it has a second listener, at `locked_address`.
    """

    def __init__(self, node: Node | None = None, lock: Lock | None = None, classes: str = "") -> None:
        """`classes` is the JVM's option for its archive of classes; without one it reads the archive of the cache."""
        missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
        if missing:
            raise BrokerUnavailable(f"the Kafka broker needs {' and '.join(missing)}")
        self._node = node or _nodes(1)[0]
        self._jars = fetch_jars()
        self._classes = classes or f"-XX:SharedArchiveFile={archived_classes()}"
        self._directory = Path(tempfile.mkdtemp(prefix="headgate-kafka-"))
        self._output = self._directory / "broker.log"
        self._port, controller = self._node.ports
        self._properties = self._directory / "server.properties"
        settings = _PROPERTIES.format(
            node=self._node.number,
            voters=self._node.voters,
            port=self._port,
            controller=controller,
            directory=self._directory,
            copies=self._node.copies,
            insync=self._node.insync,
        )
        if lock is not None:
            self._locked_port = free_ports(1)[0]
            settings += _LOCKED.format(
                port=self._port, controller=controller, locked=self._locked_port, keystore=lock.keystore
            )
        self._properties.write_text(settings)
        (self._directory / "log4j2.properties").write_text(_LOG4J)
        self._process: subprocess.Popen[bytes] | None = None
        self._exit_code: int | None = None
        self._format(("--add-scram", f"SCRAM-SHA-512=[name={lock.user},password={lock.password}]") if lock else ())

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    @property
    def locked_address(self) -> str:
        """The address of the listener that needs TLS, a user and a password."""
        return f"127.0.0.1:{self._locked_port}"

    def start(self) -> Self:
        """Returns when the broker answers. Raises BrokerUnavailable."""
        self.launch()
        return self.wait_ready()

    def launch(self) -> None:
        """Starts the broker's process and does not wait for it."""
        self._process = launch(self._java("kafka.Kafka", [str(self._properties)]), self._output)

    def wait_ready(self) -> Self:
        """Returns when the broker answers. Raises BrokerUnavailable."""
        try:
            await_ready(self._process, self._output, lambda: listens(self._port), READY_SECONDS)
        except ServerUnavailable as error:
            self.kill()
            raise BrokerUnavailable(f"the broker did not start: {error}") from error
        return self

    def stop(self) -> None:
        """Shuts the broker down cleanly."""
        self._signal(signal.SIGTERM)

    @property
    def stopped_by_itself(self) -> bool:
        """Whether `stop` was enough, and the broker was not killed because it took too long."""
        return self._exit_code == EXIT_ON_SIGTERM

    def freeze(self) -> None:
        """Makes the broker stop answering. Its connections stay open."""
        assert self._process is not None
        freeze(self._process)

    def kill(self) -> None:
        """Kills the broker with SIGKILL."""
        self._signal(signal.SIGKILL)

    def close(self) -> None:
        """Stops the broker and removes its data."""
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _signal(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        end(process, number)
        self._exit_code = process.returncode if process else self._exit_code

    def _format(self, more: Sequence[str]) -> None:
        if not more:
            return self._copy_formatted()
        arguments = ["format", "-t", self._node.cluster, "-c", str(self._properties), *more]
        done = subprocess.run(
            self._java("kafka.tools.StorageTool", arguments), capture_output=True, timeout=FORMAT_SECONDS, check=False
        )
        if done.returncode != 0:
            raise BrokerUnavailable(f"the broker's storage was not formatted: {done.stderr.decode()[-2000:]}")

    def _copy_formatted(self) -> None:
        """Copies formatted storage and sets the broker's ids, because the storage tool takes seconds each time."""
        data = self._directory / "data"
        with _locked():
            if not _FORMATTED.is_dir():
                self._format(("--ignore-formatted",))
                with tempfile.TemporaryDirectory(dir=_FORMATTED.parent) as partial:
                    Path(shutil.move(data, partial)).rename(_FORMATTED)
        shutil.copytree(_FORMATTED, data)
        ids = {
            "node.id": self._node.number,
            "cluster.id": self._node.cluster,
            "directory.id": _kafka_id(),
            "version": 1,
        }
        (data / "meta.properties").write_text("".join(f"{name}={value}\n" for name, value in ids.items()))

    def _java(self, main: str, arguments: Sequence[str]) -> list[str]:
        configuration = f"-Dlog4j2.configurationFile={self._directory}/log4j2.properties"
        return ["java", *_JVM, self._classes, configuration, "-cp", f"{self._jars}/*", main, *arguments]


class KafkaCluster:
    """Brokers that keep `count` copies of every record. All but one must acknowledge a record."""

    def __init__(self, count: int = 3) -> None:
        nodes = _nodes(count)
        self.brokers: dict[int, KafkaBroker] = {}
        try:
            for node in nodes:
                self.brokers[node.number] = KafkaBroker(node)
        except BaseException:
            self.close()
            raise

    @property
    def address(self) -> str:
        """host:port of each broker, with commas."""
        return ",".join(broker.address for broker in self.brokers.values())

    def start(self) -> Self:
        """Returns when every broker answers. Raises BrokerUnavailable."""
        for broker in self.brokers.values():
            broker.launch()
        for broker in self.brokers.values():
            broker.wait_ready()
        return self

    def close(self) -> None:
        """Stops every broker and removes the data."""
        for broker in self.brokers.values():
            broker.close()


def fetch_jars() -> Path:
    """The folder with the broker's jars, filled by Maven on the first call; safe to call from several processes."""
    if _JARS.is_dir():
        return _JARS
    with _locked():
        if not _JARS.is_dir():
            partial = Path(tempfile.mkdtemp(prefix="partial-", dir=_JARS.parent))
            try:
                _copy_dependencies(partial)
                partial.rename(_JARS)  # the name appears only when every jar is there
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return _JARS


def archived_classes() -> Path:
    """The broker's classes as the JVM maps them, written by the first broker: the others take half the time to start.

    A JVM that finds no archive, or cannot use it, reads the jars.
    """
    if not _CLASSES.exists():
        with _locked("classes"):
            if not _CLASSES.exists():
                with tempfile.TemporaryDirectory(dir=_CLASSES.parent) as partial:
                    archive = Path(partial) / _CLASSES.name
                    with KafkaBroker(classes=f"-XX:ArchiveClassesAtExit={archive}") as broker:
                        broker.stop()
                        if broker.stopped_by_itself:
                            archive.rename(_CLASSES)
    return _CLASSES


@contextmanager
def _locked(part: str = "jars") -> Iterator[None]:
    """One process at a time fills this part of the cache."""
    _JARS.parent.mkdir(parents=True, exist_ok=True)
    with open(_JARS.parent / f"{part}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _kafka_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _copy_dependencies(folder: Path) -> None:
    command = ["mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"]
    command += [f"-Dkafka.version={VERSION}", f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=DOWNLOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise BrokerUnavailable(f"Maven did not deliver Kafka {VERSION} within {DOWNLOAD_SECONDS} s") from error
    if done.returncode != 0:
        output = done.stdout.decode(errors="replace")[-2000:]
        raise BrokerUnavailable(f"Maven did not deliver Kafka {VERSION}: {output}")


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    address = os.environ.get(ADDRESS_VARIABLE)
    if address:
        print(f"{ADDRESS_VARIABLE} already names a broker: kafka://{address}")
        return 0
    try:
        with KafkaBroker() as broker:
            print(f"Kafka {VERSION} at kafka://{broker.address}; Ctrl-C stops it and removes its data", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        pass
    except BrokerUnavailable as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
