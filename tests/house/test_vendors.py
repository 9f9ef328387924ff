"""Each vendor's library is used in one place only, so that it can be replaced there."""

import ast
from pathlib import Path

from tests.house.tree import short, sources

PLACES = {
    "jwt": ("libs/headgate/runtime/authentication/",),
    "httptools": ("services/gateway/rest/",),
    "orjson": ("services/gateway/rest/",),
    "h2corn": ("services/gateway/h2corn_server.py",),
    "arro3": ("libs/headgate/artifacts/table_file",),
    "kafka": ("libs/headgate/log/kafka/",),
    "sqlite3": ("libs/headgate/log/sqlite/",),
    "obstore": ("libs/headgate/artifacts/store", "libs/headgate/downloads/buckets"),
    "tink": ("libs/headgate/artifacts/encryption/",),
    "cryptography": ("libs/headgate/artifacts/", "libs/headgate/certificates/"),
    "prometheus_client": ("libs/headgate/runtime/observability/",),
    "opentelemetry": ("libs/headgate/runtime/observability/tracing_otel",),
    "redis": ("libs/headgate/runtime/redis_client",),
    "torch": ("services/trainer/child/",),
    "onnx": ("libs/headgate/artifacts/graphs", "services/trainer/child/"),
    "onnxruntime_extensions": ("libs/headgate/artifacts/extensions",),
    "onnxscript": ("services/trainer/child/",),
    "onnxruntime": (
        "libs/headgate/artifacts/bfloat16",
        "libs/headgate/artifacts/timed_runs",
        "services/trainer/child/",
        "services/evaluator/",
        "services/gateway/",
    ),
    "rich": ("libs/headgate/cli/",),
    "typer": ("libs/headgate/cli/",),
    "uvloop": ("services/gateway/",),
}
"""Library -> the starts of the paths of files that may import it."""

NOWHERE = frozenset(
    {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "tarfile", "zipfile", "zipimport"}
)
"""Modules that run what they read, or that write where what they read says."""


def imported(path: Path) -> set[str]:
    """The top-level packages that a file imports, at its head or inside functions."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.partition(".")[0])
    return names


def test_a_vendor_is_imported_only_in_its_place():
    strays = [
        f"{short(path)} imports {vendor}"
        for path in sources()
        for vendor in sorted(imported(path) & PLACES.keys())
        if not short(path).startswith(PLACES[vendor])
    ]
    assert strays == []


def test_nothing_is_unpickled_and_no_archive_is_opened() -> None:
    assert {short(path): found for path in sources() if (found := imported(path) & NOWHERE)} == {}
