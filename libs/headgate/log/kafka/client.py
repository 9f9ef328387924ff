"""What all Kafka clients of the adapter share: settings, the translation of errors, the conversion of records.

A setting is explicit where the library's default could lose, repeat or invent data.
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

from headgate.domain.address import PORT_RULE, has_real_port
from headgate.log.kafka.workarounds.header_names import keep_header_names
from headgate.log.port import (
    AddressFileMissing,
    AddressInvalid,
    LogError,
    LogRefused,
    LogUnavailable,
    Record,
    UnknownTopic,
)

BOOTSTRAP_SECONDS = 5.0
REQUEST_SECONDS = 10.0
"""The longest wait before an absent broker is reported."""

POLL_RECORDS = 1000
FETCH_WAIT_SECONDS = 0.1
"""How long the broker holds a fetch while there are no records. It responds at once when one arrives.

The time is short because a fetch in flight delays other requests: for the end of a partition, or to join the group.
"""
RECORD_BATCH_BYTES = 2 * 1024 * 1024
"""The limit of a batch for broker and client. It leaves room for a record of MAX_RECORD_BYTES and its framing."""

FETCH_BYTES = 256 * 1024
"""How much is fetched ahead of one partition. With 2 MiB a replay was no faster and used 30 MiB more."""

NO_METRICS = {"metrics_enabled": False}
"""Headgate does not read the library's own metrics, and they cost a tenth of its time."""

MAX_DISCONNECTS = 3
"""After so many disconnects right after the credentials were sent, the broker counts as refusing them."""

STOP_MILLISECONDS = 1000
"""How long the thread of a client that could not connect may take to stop."""

_RETRY_SECONDS = 0.05
_SIGNS_OF_DISTRUST = ("CERTIFICATE_VERIFY_FAILED", "certificate required", "unknown ca")
_REFUSALS = (
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
"""Options of kafka-python that choose how to reach and trust the brokers. With `_file` added, an option names a file
that holds its value."""


def common_settings(servers: Sequence[str], options: Mapping[str, object]) -> dict[str, Any]:
    """Settings of every client. Raises LogError for an unknown or invalid option, or when crc32c is missing."""
    if importlib.util.find_spec("crc32c") is None:
        raise LogError(
            "the Kafka adapter needs the package crc32c: without it, checksums take thousands of times longer"
        )
    return {
        "bootstrap_servers": list(servers),
        "bootstrap_timeout_ms": int(BOOTSTRAP_SECONDS * 1000),
        "request_timeout_ms": int(REQUEST_SECONDS * 1000),
        "retry_backoff_ms": 20,
        "reconnect_backoff_max_ms": 1000,
        **dict(_checked(name, value) for name, value in options.items()),
    }


def consumer_settings(fetch_wait_seconds: float = FETCH_WAIT_SECONDS) -> dict[str, Any]:
    """Settings of every consumer, in a group or not.

    There are no deserializers, because one that raised would stop the consumer for good.
    """
    keep_header_names()
    return {
        **NO_METRICS,
        "enable_auto_commit": False,
        "isolation_level": "read_committed",  # Headgate writes no transactions, but upstream systems may
        "allow_auto_create_topics": False,
        "check_crcs": True,
        "fetch_max_wait_ms": int(fetch_wait_seconds * 1000),
        "fetch_min_bytes": 1,
        "max_partition_fetch_bytes": FETCH_BYTES,
        "max_poll_records": POLL_RECORDS,
    }


@contextmanager
def connecting(servers: Sequence[str]) -> Iterator[None]:
    """Translates errors of a client's first connection, and adds the reason, which the library only logs."""
    reasons = _Reasons()
    try:
        with reasons.of("kafka.net.manager"), reasons.of("kafka.protocol.parser"):
            yield
    except KafkaTimeoutError as error:
        raise _unreachable(servers, reasons.last or error) from error
    except KafkaError as error:
        raise translate(f"connecting to {','.join(servers)}", error) from error
    except (ValueError, TypeError, AssertionError, ssl.SSLError) as error:
        raise AddressInvalid(f"the options of the log are wrong: {type(error).__name__}: {error}") from error


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Translates Kafka's errors into the port's. `what` says what was tried."""
    try:
        yield
    except UnknownTopicOrPartitionError as error:
        raise UnknownTopic(f"{what}: the topic does not exist") from error
    except KafkaError as error:
        raise translate(what, error) from error


def retried(what: str, request: Callable[[], T]) -> T:
    """Repeats a request for up to REQUEST_SECONDS while a new cluster or a failing broker gets ready."""
    deadline = time.monotonic() + REQUEST_SECONDS
    with translated(what):
        while True:
            try:
                return request()
            except RetriableError:
                if time.monotonic() > deadline:
                    raise
            time.sleep(_RETRY_SECONDS)


def translate(what: str, error: BaseException) -> LogError:
    """LogRefused for a refusal, LogUnavailable for an error that may pass, LogError for one that will not."""
    message = f"{what}: {_named(error)}"
    if isinstance(error, _REFUSALS):
        return LogRefused(message)
    is_lasting = isinstance(error, BrokerResponseError) and not getattr(error, "retriable", False)
    return LogError(message) if is_lasting or isinstance(error, KafkaConfigurationError) else LogUnavailable(message)


def records_of(fetched: Mapping[Any, Sequence[Any]]) -> list[Record]:
    """Converts what KafkaConsumer.poll returned, partition by partition. Other writers may leave the key out."""
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
        for batch in fetched.values()
        for found in batch
    ]


def built(kind: type[T], settings: Mapping[str, Any]) -> T:
    """A connected client of the library. Raises what the library raises.

    When the client cannot connect, this function stops its thread. The library would leave it running.
    """
    client: Any = kind.__new__(kind)  # separate from __init__: the client is still needed when __init__ raises
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
    """Closes a consumer that may be broken, and ignores errors."""
    if consumer is not None:
        with suppress(KafkaError, OSError, RuntimeError):
            consumer.close(autocommit=False, timeout_ms=1000)


class _Reasons(logging.Filter):
    """Keeps the reason of a failed connection, which the library only logs. Our own error reports it instead.

    A broker that refuses our credentials sends an error and disconnects. The library may drop that error when it
    arrives together with the disconnect. So repeated disconnects after the credentials were sent count as a refusal.
    """

    def __init__(self) -> None:
        super().__init__()
        self.last: Exception | None = None
        self._sent_credentials = False
        self._disconnects = 0

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Reads everything that one of the library's loggers writes, and hides it."""
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
                self._sent_credentials = kind == "SaslAuthenticateRequest"
            if getattr(argument, "error_code", 0) == SaslAuthenticationFailedError.errno:
                self._keep(SaslAuthenticationFailedError(getattr(argument, "error_message", "")))
            if isinstance(argument, Exception) and not isinstance(argument, KafkaTimeoutError):
                self._failed(argument)
        return False

    def _failed(self, reason: Exception) -> None:
        self._keep(reason)
        if self._sent_credentials:
            self._sent_credentials = False
            self._disconnects += 1
            if self._disconnects >= MAX_DISCONNECTS:
                count = self._disconnects
                self._keep(
                    SaslAuthenticationFailedError(f"the broker disconnected {count} times after our credentials")
                )

    def _keep(self, reason: Exception) -> None:
        # Later attempts, and other clients of this process, fail for less clear reasons.
        if self.last is None or not _is_refusal(self.last):
            self.last = reason


def _named(error: BaseException) -> str:
    name = type(error).__name__
    return str(error) if name in str(error) else f"{name}: {error}"


def _unreachable(servers: Sequence[str], reason: Exception) -> LogError:
    message = f"no connection to {','.join(servers)} within {BOOTSTRAP_SECONDS:g} s: {_named(reason)}"
    return LogRefused(message) if _is_refusal(reason) else LogUnavailable(message)


def _is_refusal(reason: Exception) -> bool:
    """Whether the broker refused this client, or this client the broker's certificate."""
    return isinstance(reason, _REFUSALS) or any(sign in str(reason) for sign in _SIGNS_OF_DISTRUST)


def _checked(name: str, value: object) -> tuple[str, object]:
    if name.endswith("_file") and name.removesuffix("_file") in PASSED_OPTIONS:
        return _checked(name.removesuffix("_file"), _secret(name, Path(str(value))))
    if name not in PASSED_OPTIONS:
        raise AddressInvalid(
            f"{name} is not an option of a Kafka log: expected one of {', '.join(sorted(PASSED_OPTIONS))}"
        )
    if name in _CHOICES and value not in _CHOICES[name]:
        raise AddressInvalid(f"{name} is {value!r}: expected one of {', '.join(_CHOICES[name])}")
    if name in _TLS_FILES and not Path(str(value)).is_file():
        raise AddressFileMissing(f"{name}: the file {value} does not exist")
    if name == "proxy_url" and not has_real_port(str(value)):
        raise AddressInvalid(f"{name}: {PORT_RULE}")
    if name == "ssl_check_hostname" and isinstance(value, str):
        return name, value.lower() not in ("false", "0", "no")
    return name, value


def _secret(name: str, file: Path) -> str:
    try:
        return file.read_text().strip()
    except FileNotFoundError as error:
        raise AddressFileMissing(f"{name}: the file {file} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise AddressInvalid(f"{name}: {error}") from error
