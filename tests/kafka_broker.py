"""A real Kafka broker for tests and for a person at a keyboard: one JVM, no Docker, data in a directory of its own.

The jars come from Maven once, into .cache/kafka of the checkout. The JVM dies with the process that started it.
"""

import ctypes
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Self

VERSION = "4.4.0"
DOWNLOAD_SECONDS = 600.0
FORMAT_SECONDS = 60.0
READY_SECONDS = 90.0
STOP_SECONDS = 30.0
ADDRESS_VARIABLE = "HEADGATE_KAFKA"
"""Names a running broker (host:port) to use instead of starting one."""

_ROOT = Path(__file__).resolve().parent.parent
_POM = _ROOT / "tests" / "kafka" / "pom.xml"
_JARS = _ROOT / ".cache" / "kafka" / VERSION
_JVM = ("-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")
_PR_SET_PDEATHSIG = 1

_PROPERTIES = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
log.dirs={directory}/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500
auto.create.topics.enable=false
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
    """The broker cannot run here; the message says what is missing or what it last printed."""


class KafkaBroker:
    """One broker. `kill` and `start` again keep port and data: what a crash of a broker looks like to its clients."""

    def __init__(self) -> None:
        missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
        if missing:
            raise BrokerUnavailable(f"the Kafka broker needs {' and '.join(missing)}")
        self._jars = fetch_jars()
        self._directory = Path(tempfile.mkdtemp(prefix="headgate-kafka-"))
        self._port, controller = _free_ports(2)
        self._properties = self._directory / "server.properties"
        settings = _PROPERTIES.format(port=self._port, controller=controller, directory=self._directory)
        self._properties.write_text(settings)
        (self._directory / "log4j2.properties").write_text(_LOG4J)
        self._process: subprocess.Popen[bytes] | None = None
        self._format()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    def start(self) -> Self:
        """Returns when the broker answers. Raises BrokerUnavailable."""
        with open(self._directory / "broker.log", "ab") as output:
            self._process = subprocess.Popen(
                self._java("kafka.Kafka", [str(self._properties)]),
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C at the keyboard reaches us, and we stop it in order
                preexec_fn=_die_with_parent,
            )
        deadline = time.monotonic() + READY_SECONDS
        while not _answers(self._port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise BrokerUnavailable(f"the broker did not start: {self._last_words()}")
            time.sleep(0.05)
        return self

    def stop(self) -> None:
        """Shuts the broker down in order."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9."""
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
        if process is None or process.poll() is not None:
            return
        process.send_signal(number)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_SECONDS)

    def _format(self) -> None:
        arguments = ["format", "-t", str(uuid.uuid4()), "-c", str(self._properties)]
        done = subprocess.run(
            self._java("kafka.tools.StorageTool", arguments), capture_output=True, timeout=FORMAT_SECONDS, check=False
        )
        if done.returncode != 0:
            raise BrokerUnavailable(f"the broker's storage was not formatted: {done.stderr.decode()[-2000:]}")

    def _java(self, main: str, arguments: Sequence[str]) -> list[str]:
        configuration = f"-Dlog4j2.configurationFile={self._directory}/log4j2.properties"
        return ["java", *_JVM, configuration, "-cp", f"{self._jars}/*", main, *arguments]

    def _last_words(self) -> str:
        log = self._directory / "broker.log"
        return log.read_text(errors="replace")[-2000:] if log.exists() else "it printed nothing"


def fetch_jars() -> Path:
    """The folder with the broker's jars, filled by Maven on the first call; safe to call from several processes."""
    if _JARS.is_dir():
        return _JARS
    _JARS.parent.mkdir(parents=True, exist_ok=True)
    with open(_JARS.parent / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not _JARS.is_dir():
            partial = Path(tempfile.mkdtemp(prefix="partial-", dir=_JARS.parent))
            try:
                _copy_dependencies(partial)
                partial.rename(_JARS)  # the name appears only when every jar is there
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    return _JARS


def _copy_dependencies(folder: Path) -> None:
    command = ["mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"]
    command += [f"-DoutputDirectory={folder}", "-DincludeScope=runtime"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=DOWNLOAD_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise BrokerUnavailable(f"Maven did not deliver Kafka {VERSION} within {DOWNLOAD_SECONDS} s") from error
    if done.returncode != 0:
        said = done.stdout.decode(errors="replace")[-2000:]
        raise BrokerUnavailable(f"Maven did not deliver Kafka {VERSION}: {said}")


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(each.getsockname()[1]) for each in sockets]
    for each in sockets:
        each.close()
    return ports


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1.0).close()
    except OSError:
        return False
    return True


def _die_with_parent() -> None:
    """Runs in the child before java: the kernel kills it when the thread that started it ends, however that happens."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


_LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    address = os.environ.get(ADDRESS_VARIABLE)
    if address:
        print(f"{ADDRESS_VARIABLE} names a broker already: kafka://{address}")
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
