"""`headgate doctor` checks the services, who may call them, the log, the view, the artifacts and the keys."""

import platform
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated
from urllib.request import urlopen

import grpc
import typer

from headgate.artifacts.encryption.key_encryption import KeyEncryption
from headgate.artifacts.key_files import KeyUnusable
from headgate.artifacts.keys import load_signing_key, load_trusted
from headgate.cli.clocks import wrong_clocks
from headgate.cli.doctor_access import Finding, access_findings, certificate_findings
from headgate.cli.encryption_key import EncryptionKey, EncryptionToken, opened_key
from headgate.cli.exit_codes import Exit
from headgate.cli.printing import report
from headgate.cli.render import Format, Output, show_data, show_line
from headgate.cli.session import (
    HOME,
    KEYS,
    CommandFailed,
    Session,
    refuse_wrong_port,
    running_metrics_ports,
    running_ports,
    running_rest_port,
    session,
    usage,
)
from headgate.cli.view import Redis, reading
from headgate.client.stubs import TIMEOUT_SECONDS, serves
from headgate.client.tls import ClientTls
from headgate.dead_letters.letters import SETTLED, Ledger
from headgate.domain.credentials import without_credentials
from headgate.domain.words import counted
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.jail.bubblewrap import Bubblewrap
from headgate.jail.decision import TRUSTED_SETTING
from headgate.log.open import check_writable
from headgate.log.port import LogError
from headgate.log.startup import await_log
from headgate.log.topics import TOPICS

DROPPED = re.compile(r'headgate_prediction_log_dropped_total\{reason="(?P<reason>[^"]*)"\} (?P<count>\S+)')
METRICS_SECONDS = 5.0
PACKAGES = ("headgate", "grpcio", "protobuf", "kafka-python", "torch", "onnxruntime")


ArtifactsUrl = Annotated[
    str, typer.Option("--artifacts", envvar="HEADGATE_ARTIFACTS", help="The artifact store: file:///path, s3://bucket.")
]


def doctor(
    context: typer.Context,
    redis: Redis = "",
    artifacts: ArtifactsUrl = "",
    encryption_key: EncryptionKey = "",
    encryption_token: EncryptionToken = None,
    output: Output = Format.TABLE,
) -> None:
    """Check services and log, and artifacts and keys where `headgate up` ran. Exit with 1 when something is wrong."""
    refuse_wrong_port("--redis", redis)
    _refuse_wrong_store(artifacts)
    current = session(context)
    home = Path(HOME)
    key = partial(opened_key, encryption_key, encryption_token)
    services, served = _services(current, home), _served(current)
    access = access_findings(current.stubs)
    findings = [
        *services,
        *access,
        *served,
        *_log(current),
        *_home(current, home, key),
        *_view(redis),
        *_store(artifacts),
        *_jail(home),
    ]
    if output is Format.TABLE:
        for finding in findings:
            show_line("ok   " if finding.well else "WRONG", f"{finding.what}: {finding.detail}")
        show_line("versions:", ", ".join(f"{name} {number}" for name, number in versions().items()))
    else:
        show_data({"findings": [asdict(finding) for finding in findings], "versions": versions()}, output)
    if not all(finding.well for finding in findings):
        raise typer.Exit(Exit.FAILED)


OpenKey = Callable[[], KeyEncryption | None]
"""Opens the key of an encrypted store. Raises CommandFailed."""
SERVED = "READY"
"""The state of a version that answers requests, in Triton's words."""


def _services(current: Session, home: Path) -> list[Finding]:
    addresses = {name: f"127.0.0.1:{port}" for name, port in running_ports(home).items()}
    addresses |= {"registry": current.stubs.registry_address, "gateway": current.stubs.gateway_address}
    # All at once, because each that does not answer takes a second.
    with ThreadPoolExecutor(len(addresses)) as pool:
        answers = list(pool.map(lambda address: serves(address, tls=current.stubs.tls), addresses.values()))
    findings = [
        Finding(name, well, f"{address} {'is healthy' if well else 'does not answer'}")
        for (name, address), well in zip(addresses.items(), answers, strict=True)
    ]
    if rest_port := running_rest_port(home):
        findings.append(_rest(rest_port, current.stubs.tls))
    ports, tls = running_metrics_ports(home), current.stubs.tls
    return findings + [found for name, port in ports.items() for found in _metrics(name, port, tls)]


def _served(current: Session) -> list[Finding]:
    """One finding for each version that the gateway cannot serve, with its reason; none when it does not answer."""
    request = inference.RepositoryIndexRequest()
    try:
        models = current.stubs.inference.RepositoryIndex(request, timeout=TIMEOUT_SECONDS).models
    except grpc.RpcError:
        return []  # that it does not answer is a finding of its own
    missing = [each for each in models if each.state != SERVED]
    asleep = sum(each.state == SERVED and bool(each.reason) for each in models)
    detail = f"the gateway serves {counted(len(models), 'version')}"
    if asleep:
        detail += f"; the memory for versions is full, so {asleep} of them are loaded by their next request"
    good = Finding("versions", True, detail)
    return [Finding(f"{each.name}/{each.version}", False, each.reason) for each in missing] or [good]


def _view(redis: str) -> list[Finding]:
    """The finding about the view; none when no Redis is named, because Redis is optional."""
    if not redis:
        return []
    try:
        with reading(redis) as reader:
            found = reader.status()
    except CommandFailed as error:
        return [Finding("view", False, str(error))]
    streams = counted(len(found.heads), "stream")
    detail = f"generation {found.generation}, {streams}" if found.generation else "there is no view yet"
    return [Finding("view", bool(found.generation), detail)]


def _refuse_wrong_store(url: str) -> None:
    if not url:
        return
    # Imported here, because the other commands need no object store.
    from headgate.artifacts.store import StoreUnusable, check_url

    try:
        check_url(url)
    except StoreUnusable as error:
        usage(f"--artifacts {without_credentials(url)!r}: {error}")


def _store(url: str) -> list[Finding]:
    """The finding about the artifact store that the services name; none when no URL is given."""
    if not url:
        return []
    shown = without_credentials(url)
    try:
        # Imported here, because the other commands need no object store.
        from headgate.artifacts.store import StoreUnusable, open_store

        open_store(url, create=False)
    except StoreUnusable as error:
        return [Finding("artifact store", False, f"{shown}: {error}")]
    return [Finding("artifact store", True, shown)]


def _metrics(name: str, port: int, tls: ClientTls | None) -> list[Finding]:
    """The finding about a service's metrics, and one about predictions that it did not record."""
    url = f"http{'s' if tls else ''}://127.0.0.1:{port}/metrics"
    try:
        with urlopen(url, timeout=METRICS_SECONDS, context=tls.context() if tls else None) as answer:  # nosec B310
            lines = [line.decode().strip() for line in answer if not line.startswith(b"#")]
    except OSError as error:
        return [Finding(f"{name} metrics", False, f"{url}: {error}")]
    return [Finding(f"{name} metrics", True, f"{url}, {len(lines)} series"), *unrecorded_predictions(name, lines)]


def unrecorded_predictions(service: str, lines: Iterable[str]) -> Iterator[Finding]:
    """The finding about predictions that were sampled and dropped; none when a service has dropped none."""
    dropped = {}
    for line in lines:
        found = DROPPED.fullmatch(line)
        if found and float(found["count"]):
            dropped[found["reason"]] = int(float(found["count"]))
    if dropped:
        reasons = ", ".join(f"{reason} {count}" for reason, count in dropped.items())
        detail = f"{counted(sum(dropped.values()), 'prediction')} dropped since the start ({reasons})"
        # Someone should look at it, but no caller was harmed.
        yield Finding(f"{service} prediction log", True, f"{detail}; see docs/operators/prediction-log.md")


def _rest(port: int, tls: ClientTls | None) -> Finding:
    url = f"http{'s' if tls else ''}://127.0.0.1:{port}/v2/health/ready"
    try:
        with urlopen(url, timeout=METRICS_SECONDS, context=tls.context() if tls else None):  # nosec B310
            return Finding("gateway REST", True, f"{url} says that it is ready")
    except OSError as error:
        return Finding("gateway REST", False, f"{url}: {error}")


def _log(current: Session) -> list[Finding]:
    try:
        current.check_log()
        log = await_log(current.log_url, wait_seconds=0, report=report)
        try:
            check_writable(log)
            records = [sum(log.end(topic.name).values()) for topic in TOPICS]
            letters = [summary for summary in Ledger(log).summaries() if summary.settlement.state not in SETTLED]
            clocks = _clocks(*wrong_clocks(log))
        finally:
            log.close()
    except (LogError, CommandFailed) as error:
        return [Finding("log", False, str(error))]
    detail = (
        f"{without_credentials(current.log_url)}, {counted(len(records), 'topic')}, {counted(sum(records), 'record')}"
    )
    # Someone should look at open letters, but they break nothing.
    waiting = f"{len(letters)} open: headgate log dead-letters list" if letters else "none open"
    return [Finding("log", True, detail), Finding("dead letters", True, waiting), *clocks]


def _clocks(wrong: list[str], services: int) -> list[Finding]:
    """One finding for each wrong clock; one in all when none is; none when no service has run on this log."""
    if not services:
        return []
    good = Finding("clocks", True, f"services that agree with the log's time: {services}")
    return [Finding("clocks", False, f"{problem}; see the runbook HeadgateClockSkew") for problem in wrong] or [good]


def _home(current: Session, home: Path, key: OpenKey) -> list[Finding]:
    """The findings about the artifacts, keys and certificates of `headgate up`; none in a folder where it never ran."""
    return [*_artifacts(current, home, key), _keys(home), *certificate_findings(home)] if home.is_dir() else []


def _artifacts(current: Session, home: Path, key: OpenKey) -> list[Finding]:
    """One finding for each file that is wrong; one in all when none is."""
    folder, registry = home / "artifacts", current.stubs.registry_address
    if not folder.is_dir():
        return [Finding("artifacts", False, f"{folder} does not exist")]
    # Another registry has other versions, which are not in this folder.
    if registry != f"127.0.0.1:{running_ports(home).get('registry')}":
        detail = f"{folder}; no version is checked, because {registry} is not the registry of this folder"
        return [Finding("artifacts", True, detail)]
    # Imported here, because the other commands need no object store.
    from headgate.cli.live_artifacts import check_live_artifacts

    try:
        checked = check_live_artifacts(current.stubs, folder, home / KEYS, key())
    except (KeyUnusable, CommandFailed) as error:
        return [Finding("artifacts", False, f"the live versions cannot be checked: {error}")]
    except grpc.RpcError as error:
        reason = f"the registry at {registry} answers {error.code().name}: {error.details()}"
        return [Finding("artifacts", False, f"the live versions cannot be checked: {reason}")]
    more = "; there are more, which are not checked" if checked.more else ""
    good = Finding("artifacts", True, f"{folder}; live versions that are as they were signed: {checked.versions}{more}")
    return [Finding("artifacts", False, problem) for problem in checked.problems] or [good]


def _jail(home: Path) -> list[Finding]:
    """Whether foreign code can be kept apart; none in a folder where `headgate up` never ran, as no trainer is here."""
    if not home.is_dir():
        return []
    problem = Bubblewrap().problem()
    without = f"{problem}. Without a jail the trainer runs only the repositories that {TRUSTED_SETTING} names"
    return [Finding("jail", not problem, without if problem else "the code of repositories runs in a jail")]


def _keys(home: Path) -> Finding:
    try:
        own = load_signing_key(home / KEYS)
        trusted = load_trusted(home / KEYS)
    except KeyUnusable as error:
        return Finding("keys", False, str(error))
    if own.key_id not in trusted:
        advice = f"`headgate keys create {home / 'keys'}` adds its public key, and makes no new key"
        return Finding("keys", False, f"the signing key {own.key_id} is not among the trusted keys: {advice}")
    return Finding("keys", True, f"signing with {own.key_id}, {len(trusted)} trusted")


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
