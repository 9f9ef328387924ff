"""What every Kafka client of the adapter shares: its settings, its errors in the port's words, its records as ours.

The settings are explicit where the library's defaults would lose, repeat or invent data.
"""

import importlib.util
import logging
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from kafka import KafkaConsumer
from kafka.errors import (
    AuthorizationError,
    BrokerResponseError,
    IllegalSaslStateError,
    KafkaConfigurationError,
    KafkaError,
    KafkaTimeoutError,
    RetriableError,
    SaslAuthenticationFailedError,
    SecurityDisabledError,
    UnknownTopicOrPartitionError,
    UnsupportedSaslMechanismError,
)

from headgate.log.kafka.workarounds.header_names import keep_header_names
from headgate.log.port import LogError, LogRefused, LogUnavailable, Record, UnknownTopic

BOOTSTRAP_SECONDS = 5.0
REQUEST_SECONDS = 10.0
"""An absent broker is reported after at most this long."""

POLL_RECORDS = 1000
FETCH_WAIT_SECONDS = 0.1
RECORD_BATCH_BYTES = 2 * 1024 * 1024
"""The broker's and the client's limit for a batch: above MAX_RECORD_BYTES by more than any record's framing."""

FETCH_BYTES = 256 * 1024
"""Of one partition, fetched ahead; a larger batch comes whole. With 2 MiB a replay took as long and 30 MiB more."""

NO_METRICS = {"metrics_enabled": False}
"""Nobody reads the library's own metrics, and keeping them costs a tenth of its time."""

HANG_UPS = 3
"""A broker that hangs up so often when it has our credentials does not fail by chance."""

STOP_MILLISECONDS = 1000
"""How long the thread of a client that could not connect may take to end."""

_RETRY_SECONDS = 0.05
_TURNED_AWAY = (
    AuthorizationError,
    IllegalSaslStateError,
    SaslAuthenticationFailedError,
    SecurityDisabledError,
    UnsupportedSaslMechanismError,
)
_TLS_FILES = frozenset({"ssl_cafile", "ssl_certfile", "ssl_crlfile", "ssl_keyfile"})
_CHOICES: Mapping[str, Sequence[str]] = {
    "security_protocol": ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"),
    "sasl_mechanism": ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER", "AWS_MSK_IAM"),
}

T = TypeVar("T")

PASSED_OPTIONS = frozenset(
    {
        "client_id",
        "proxy_url",
        "sasl_kerberos_domain_name",
        "sasl_kerberos_service_name",
        "sasl_mechanism",
        "sasl_oauth_token_provider",
        "sasl_plain_password",
        "sasl_plain_username",
        "security_protocol",
        "ssl_cafile",
        "ssl_certfile",
        "ssl_check_hostname",
        "ssl_context",
        "ssl_crlfile",
        "ssl_keyfile",
        "ssl_password",
    }
)
"""Options of kafka-python that say how to reach and trust the brokers. Any one, with `_file` added, names a file."""


def common_settings(servers: Sequence[str], options: Mapping[str, object]) -> dict[str, Any]:
    """Settings of every client. Raises LogError for an option that is not one, or when crc32c is missing."""
    if importlib.util.find_spec("crc32c") is None:
        raise LogError(
            "the Kafka adapter needs the package crc32c: without it every record costs thousands of times more"
        )
    return {
        "bootstrap_servers": list(servers),
        "bootstrap_timeout_ms": int(BOOTSTRAP_SECONDS * 1000),
        "request_timeout_ms": int(REQUEST_SECONDS * 1000),
        "retry_backoff_ms": 20,
        "reconnect_backoff_max_ms": 1000,
        **dict(_checked(name, value) for name, value in options.items()),
    }


def consumer_settings() -> dict[str, Any]:
    """Settings of every consumer, group or not. No deserializers: one that raised would stop the consumer for good."""
    keep_header_names()
    return {
        **NO_METRICS,
        "enable_auto_commit": False,
        "isolation_level": "read_committed",  # we write no transactions, but upstream systems may
        "allow_auto_create_topics": False,
        "check_crcs": True,
        "fetch_max_wait_ms": int(FETCH_WAIT_SECONDS * 1000),
        "fetch_min_bytes": 1,
        "max_partition_fetch_bytes": FETCH_BYTES,
        "max_poll_records": POLL_RECORDS,
    }


@contextmanager
def connecting(servers: Sequence[str]) -> Iterator[None]:
    """Errors of a client's first connection in the port's words, with the reason that the library only logs."""
    heard = _Reasons()
    try:
        with heard.on("kafka.net.manager"), heard.on("kafka.protocol.parser"):
            yield
    except KafkaTimeoutError as error:
        raise _unreachable(servers, heard.last or error) from error
    except KafkaError as error:
        raise in_our_words(f"connecting to {','.join(servers)}", error) from error
    except (ValueError, TypeError, AssertionError, ssl.SSLError) as error:
        raise LogError(f"the options of the log: {type(error).__name__}: {error}") from error


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Kafka's errors in the port's words."""
    try:
        yield
    except UnknownTopicOrPartitionError as error:
        raise UnknownTopic(f"{what}: there is no such topic") from error
    except KafkaError as error:
        raise in_our_words(what, error) from error


def patiently(what: str, question: Callable[[], T]) -> T:
    """Asks again while a new cluster or a failing broker makes itself ready, for up to REQUEST_SECONDS."""
    deadline = time.monotonic() + REQUEST_SECONDS
    with translated(what):
        while True:
            try:
                return question()
            except RetriableError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_RETRY_SECONDS)


def in_our_words(what: str, error: BaseException) -> LogError:
    """LogUnavailable for what may pass, LogError for what will not."""
    said = f"{what}: {_named(error)}"
    if isinstance(error, _TURNED_AWAY):
        return LogRefused(said)
    lasting = isinstance(error, BrokerResponseError) and not getattr(error, "retriable", False)
    return LogError(said) if lasting or isinstance(error, KafkaConfigurationError) else LogUnavailable(said)


def records_of(fetched: Mapping[Any, Sequence[Any]]) -> list[Record]:
    """What KafkaConsumer.poll returned, partition after partition. Foreign writers may leave the key out."""
    return [
        Record(
            found.topic,
            found.partition,
            found.offset,
            found.timestamp,
            found.key or b"",
            found.value,
            tuple((name, value or b"") for name, value in found.headers),
        )
        for some in fetched.values()
        for found in some
    ]


def built(kind: type[T], settings: Mapping[str, Any]) -> T:
    """A client of the library, connected. The thread of one that reaches no broker ends: the library leaves it running.

    Raises what the library raises.
    """
    client: Any = kind.__new__(kind)  # apart from __init__, to have it in hand when that raises
    try:
        client.__init__(**settings)
    except BaseException:
        if (loop := getattr(client, "_net", None)) is not None:
            with suppress(KafkaError, OSError, RuntimeError):
                client._client.close()
            loop.stop(timeout_ms=STOP_MILLISECONDS)
        raise
    return cast(T, client)


def close_quietly(consumer: KafkaConsumer | None) -> None:
    """Lets go of a consumer that may be broken: nothing about it matters any more."""
    if consumer is not None:
        with suppress(KafkaError, OSError, RuntimeError):
            consumer.close(autocommit=False, timeout_ms=1000)


class _Reasons(logging.Filter):
    """Keeps the reason that the library logs, and keeps it out of the log: we say it once, in our words.

    A broker that does not know our credentials says so and hangs up, and the library drops what comes together with
    the end of a connection. So hanging up on credentials, time after time, counts as such an answer.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last: Exception | None = None
        self._awaits_verdict = False
        self._hung_up = 0

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Hears everything that one of the library's loggers says."""
        logger = logging.getLogger(name)
        level = logger.level
        logger.addFilter(self)
        logger.setLevel(logging.DEBUG)
        try:
            yield
        finally:
            logger.setLevel(level)
            logger.removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        for argument in record.args if isinstance(record.args, tuple) else ():
            kind = type(argument).__name__
            if kind in ("SaslAuthenticateRequest", "SaslAuthenticateResponse"):
                self._awaits_verdict = kind == "SaslAuthenticateRequest"
            if getattr(argument, "error_code", 0) == SaslAuthenticationFailedError.errno:
                self._keep(SaslAuthenticationFailedError(getattr(argument, "error_message", "")))
            if isinstance(argument, Exception) and not isinstance(argument, KafkaTimeoutError):
                self._failed(argument)
        return False

    def _failed(self, reason: Exception) -> None:
        self._keep(reason)
        if self._awaits_verdict:
            self._awaits_verdict = False
            self._hung_up += 1
            if self._hung_up >= HANG_UPS:
                self._keep(SaslAuthenticationFailedError(f"hung up {self._hung_up} times on the credentials it got"))

    def _keep(self, reason: Exception) -> None:
        if not isinstance(self.last, _TURNED_AWAY):  # later attempts fail for less
            self.last = reason


def _named(error: BaseException) -> str:
    name = type(error).__name__
    return str(error) if name in str(error) else f"{name}: {error}"


def _unreachable(servers: Sequence[str], reason: Exception) -> LogError:
    said = f"no connection to {','.join(servers)} within {BOOTSTRAP_SECONDS:g} s: {_named(reason)}"
    trust = any(sign in str(reason) for sign in ("CERTIFICATE_VERIFY_FAILED", "certificate required", "unknown ca"))
    turned_away = trust or isinstance(reason, _TURNED_AWAY)
    return LogRefused(said) if turned_away else LogUnavailable(said)


def _checked(name: str, value: object) -> tuple[str, object]:
    if name.endswith("_file") and name.removesuffix("_file") in PASSED_OPTIONS:
        return _checked(name.removesuffix("_file"), _secret(name, Path(str(value))))
    if name not in PASSED_OPTIONS:
        raise LogError(f"{name} is not an option of a Kafka log; there are {', '.join(sorted(PASSED_OPTIONS))}")
    if name in _CHOICES and value not in _CHOICES[name]:
        raise LogError(f"{name} is {value!r}: expected one of {', '.join(_CHOICES[name])}")
    if name in _TLS_FILES and not Path(str(value)).is_file():
        raise LogError(f"{name}: there is no file {value}")
    if name == "ssl_check_hostname" and isinstance(value, str):
        return name, value.lower() not in ("false", "0", "no")
    return name, value


def _secret(name: str, file: Path) -> str:
    try:
        return file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise LogError(f"{name}: {error}") from error
