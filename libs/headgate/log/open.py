"""Opens the log at an address.

An address is `sqlite:///absolute/path`, `sqlite:relative/path` or `kafka://host:port[,host:port]?option=value`. The
address `file:path` is an exported log, which can only be read. A path stands in its address as it is, without escapes
such as %20.
"""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from headgate.domain.address import ADDRESS_RULE, is_address
from headgate.log.exported import ExportedLog
from headgate.log.port import AddressInvalid, EventLog
from headgate.log.sqlite.host_clock import SUFFIX as CLOCK_SUFFIX
from headgate.log.sqlite.log import SqliteLog

BESIDE_EMBEDDED = ("", "-wal", "-shm", "-journal", CLOCK_SUFFIX)
"""How the names of an embedded log's files go on after its path."""
EXPORTED = "file:"
WITH_KEYS = ("ssl_keyfile", "ssl_certfile")
"""Options of Kafka that name a private key. A certificate's file may hold its key too."""


def open_log(url: str) -> EventLog:
    """Opens the log. Raises AddressInvalid, and LogUnavailable when the log cannot be reached."""
    check_address(url)
    if is_exported(url):
        return ExportedLog(Path(url.removeprefix(EXPORTED)))
    return SqliteLog(embedded_path(url)) if is_embedded(url) else _open_kafka(url)


def check_address(url: str) -> None:
    """Raises AddressInvalid for a text that is no address of a log. The options of Kafka are checked when it opens."""
    scheme = url.partition(":")[0]
    if scheme == "sqlite":
        embedded_path(url)
    elif scheme == "kafka":
        _brokers(url)
    elif not is_exported(url) or url == EXPORTED:
        problem = f"{url!r} is not the address of a log"
        expected = "sqlite:///path, sqlite:path, kafka://host:port, or file:path for an exported log"
        raise AddressInvalid(f"{problem}: expected {expected}")


def check_writable(log: EventLog) -> None:
    """Writes to an embedded log without a record. The brokers of Kafka check their own disks. Raises LogError."""
    if isinstance(log, SqliteLog):
        log.check_writable()


def is_embedded(url: str) -> bool:
    """Whether the log at this address is embedded: Headgate itself creates it and its topics."""
    return url.startswith("sqlite:")


def is_exported(url: str) -> bool:
    """Whether the log at this address is the file of an exported one, which can only be read."""
    return url.startswith(EXPORTED)


def give_rights(url: str, principals: Mapping[str, str]) -> None:
    """Gives principals of Kafka the rights of their names in `headgate.log.rights`. Raises LogError."""
    from headgate.log.kafka.rights import grant

    grant(_brokers(url), _options(url), principals)


def embedded_address(path: Path) -> str:
    """The address of the embedded log in this file."""
    return f"sqlite://{path.absolute()}"


def embedded_path(url: str) -> Path:
    """The file of the embedded log at this address. Raises AddressInvalid."""
    rest = url.removeprefix("sqlite:")
    path = rest.removeprefix("//")
    if not path or (rest.startswith("//") and not path.startswith("/")):
        raise AddressInvalid(f"{url!r} names no file: expected sqlite:///absolute/path or sqlite:relative/path")
    return Path(path)


def private_files(url: str) -> tuple[Path, ...]:
    """The files with which whoever may read them gets at the log: its own, or passwords and keys for its brokers."""
    if is_embedded(url):
        return tuple(Path(f"{embedded_path(url)}{end}") for end in BESIDE_EMBEDDED)
    if is_exported(url):
        return (Path(url.removeprefix(EXPORTED)),)
    options = _options(url).items()
    return tuple(Path(str(value)) for name, value in options if name.endswith("_file") or name in WITH_KEYS)


def _open_kafka(url: str) -> EventLog:
    from headgate.log.kafka.log import KafkaLog  # loaded only when needed: loading the client takes time

    return KafkaLog(_brokers(url), _options(url))


def _options(url: str) -> dict[str, object]:
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))


def _brokers(url: str) -> list[str]:
    if "@" in url.partition("?")[0]:
        raise AddressInvalid(
            "the address of the log has a user or a password before its brokers: expected them as the options"
            " sasl_plain_username and sasl_plain_password_file after the ?"
        )
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise AddressInvalid(f"the address of the log is no URL: {error}") from error
    servers = [server for server in parts.netloc.split(",") if server]
    if parts.fragment or url.endswith("#"):
        raise AddressInvalid("the address of the log has a #: expected it as %23, and & as %26, + as %2B, % as %25")
    if not servers or parts.path not in ("", "/"):
        raise AddressInvalid(
            f"{parts.scheme}://{parts.hostname} names no brokers: expected kafka://host:port[,host:port]?option=value"
        )
    if wrong := next((server for server in servers if not is_address(server)), None):
        raise AddressInvalid(f"the address of the log names the broker {wrong!r}: {ADDRESS_RULE}")
    return servers
