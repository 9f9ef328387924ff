"""Everything that the services offer, the command line offers: each RPC has a command that calls it."""

import inspect
from collections.abc import Callable, Iterator
from functools import cached_property
from types import CodeType, ModuleType
from typing import Any

import pytest
import typer
from google.protobuf.descriptor import FileDescriptor

from headgate.cli import main as command_line
from headgate.inference import grpc_predict_v2_pb2 as inference
from headgate.v1 import access_service_pb2 as access_service
from headgate.v1 import edge_service_pb2 as edge
from headgate.v1 import registry_service_pb2 as registry_service
from headgate.v1 import release_service_pb2 as release_service
from headgate.v1 import worker_services_pb2 as worker_services
from tests.house.test_docs import ADDED_WORDS, word_lists
from tests.house.tree import ROOT, short, tracked

PROTOS: tuple[FileDescriptor, ...] = tuple(
    module.DESCRIPTOR
    for module in (access_service, registry_service, release_service, worker_services, edge, inference)
)

COMMAND_OF: dict[str, str] = {
    "AbortRelease": "release abort",
    "AddRepository": "repository add",
    "ApproveVersion": "version approve",
    "ArchiveVersion": "version archive",
    "CancelVersion": "version cancel",
    "CreateEnvironment": "environment create",
    "CreateModel": "model create",
    "CreateVersion": "version create",
    "CreateToken": "token create",
    "DeclareFreeze": "freeze declare",
    "DeleteAlias": "alias delete",
    "DenyVersion": "version deny",
    "Evaluate": "version evaluate",
    "Explain": "explain",
    "ExplainAccess": "access explain",
    "FetchBlob": "version import",
    "GetBlob": "version import",
    "GetEnvironment": "environment get",
    "GetFoldDigest": "replay",
    "GetModel": "model get",
    "GetRelease": "release get",
    "GetVersion": "version get",
    "GrantRole": "access grant",
    "LabelModel": "model label",
    "LiftFreeze": "freeze lift",
    "LiftQuarantine": "version lift-quarantine",
    "ListAttestations": "version attestations",
    "ListAttempts": "version get",
    "ListDevices": "gateway devices",
    "ListEnvironments": "environment list",
    "ListGrants": "access list",
    "ListHistory": "model history",
    "ListModels": "model list",
    "ListPilots": "release get",
    "ListReleases": "release list",
    "ListTokens": "token list",
    "ListVersions": "version list",
    "ModelInfer": "predict",
    "ModelMetadata": "gateway model",
    "ModelReady": "gateway model",
    "PauseRelease": "release pause",
    "PromoteRelease": "release promote",
    "PurgeVersion": "version purge",
    "QuarantineVersion": "version quarantine",
    "RemoveRepository": "repository remove",
    "ResumeRelease": "release resume",
    "RevokeRole": "access revoke",
    "RevokeToken": "token revoke",
    "ServerLive": "gateway status",
    "ServerMetadata": "gateway status",
    "ServerReady": "gateway status",
    "SetAlias": "alias set",
    "SetPolicy": "environment set-policy",
    "StartRelease": "release start",
    "TagVersion": "version tag",
    "UndoRelease": "release undo",
    "UpdateModel": "model update",
    "UploadBlob": "version import",
    "WaiveGate": "version waive",
    "WatchEpochs": "version watch",
    "WatchLogs": "version logs",
    "RepositoryIndex": "doctor",
    "WatchHistory": "version watch",
    "WatchModels": "model watch-all",
    "WatchRelease": "release watch",
    "WatchVersions": "version watch-all",
}
"""RPC -> the command that calls it."""

TRITON = "clients of Triton ask it"
WITHOUT_COMMAND: dict[str, str] = {
    "ModelConfig": f"{TRITON}; gateway model shows the same tensors",
    "ModelStatistics": f"{TRITON}; the metrics of a gateway have more",
    "ModelStreamInfer": "predict sends ModelInfer; clients of Triton use streams",
    "RepositoryModelLoad": f"{TRITON}; it is refused, because releases decide",
    "RepositoryModelUnload": f"{TRITON}; it is refused, because releases decide",
    "ReadArtifact": "a device calls it, which headgate edge runs",
    "ReportDevice": "a device calls it, which headgate edge runs",
    "WatchRoutes": "a device calls it, which headgate edge runs",
    "GetLogTime": "it is a part of commands that count time, such as freeze declare, by Stubs.log_time",
}
"""RPC -> the reason why no command calls it."""


def rpcs() -> list[str]:
    return [
        method.name for proto in PROTOS for service in proto.services_by_name.values() for method in service.methods
    ]


def commands(app: typer.Typer, prefix: str = "") -> Iterator[tuple[str, Callable[..., Any]]]:
    for command in app.registered_commands:
        assert command.callback is not None
        name = command.name or command.callback.__name__.replace("_", "-")
        yield f"{prefix}{name}", command.callback
    for group in app.registered_groups:
        assert group.typer_instance is not None
        yield from commands(group.typer_instance, f"{prefix}{group.name} ")


def calls(callback: Any, rpc: str) -> bool:
    """Whether the command's function uses the RPC, itself or by functions and classes of the command line."""
    seen: set[Any] = set()
    waiting = [callback]
    while waiting:
        found = inspect.unwrap(waiting.pop())
        if found in seen:
            continue
        seen.add(found)
        for code in codes(found):
            if rpc in code.co_names:
                return True
            waiting += used(code.co_names, getattr(inspect.getmodule(found), "__dict__", {}))
    return False


def codes(found: Any) -> Iterator[CodeType]:
    """The code of a function, or of all methods of a class, with the functions inside."""
    functions = [found] if inspect.isfunction(found) else list(map(behind, vars(found).values()))
    waiting = [each.__code__ for each in functions if inspect.isfunction(each)]
    while waiting:
        code = waiting.pop()
        yield code
        waiting += [constant for constant in code.co_consts if isinstance(constant, CodeType)]


def behind(attribute: Any) -> Any:
    """The function of a property; anything else is returned as it is."""
    if isinstance(attribute, property):
        return attribute.fget
    return attribute.func if isinstance(attribute, cached_property) else attribute


def used(names: tuple[str, ...], scope: dict[str, Any]) -> list[Any]:
    """The functions and classes of the command line that the names mean, also as a name of a module: `waits.waits`."""
    direct = [scope.get(name) for name in names]
    modules = [each for each in direct if isinstance(each, ModuleType) and each.__name__.startswith("headgate.cli")]
    found = [*direct, *(getattr(module, name, None) for module in modules for name in names)]
    return [
        each
        for each in found
        if (inspect.isfunction(each) or inspect.isclass(each)) and each.__module__.startswith("headgate.cli")
    ]


def test_every_rpc_has_a_command_or_a_reason_why_not() -> None:
    assert sorted({*COMMAND_OF, *WITHOUT_COMMAND}) == sorted(rpcs())
    assert not COMMAND_OF.keys() & WITHOUT_COMMAND.keys()
    assert all(WITHOUT_COMMAND.values())


@pytest.mark.parametrize("rpc", COMMAND_OF)
def test_the_command_of_an_rpc_calls_it(rpc: str) -> None:
    known = dict(commands(command_line.app))
    assert calls(known[COMMAND_OF[rpc]], rpc)


def run_somewhere(command: str) -> bool:
    """Whether a test has a call, a list or a tuple with all words of the command."""
    words = set(command.split())
    paths = [
        short(path) for path in tracked() if path.suffix == ".py" and short(path).startswith(("tests/", "examples/"))
    ]
    known = [path for path in paths if not path.startswith("tests/house/")]
    return any(words - ADDED_WORDS.get(path, set()) <= found for path in known for found in word_lists(path))


@pytest.mark.parametrize("command", [name for name, _ in commands(command_line.app)])
def test_every_command_is_run_by_a_test(command: str) -> None:
    assert run_somewhere(command)


def test_a_command_that_does_not_call_an_rpc_is_found() -> None:
    known = dict(commands(command_line.app))
    assert not calls(known["release abort"], "PromoteRelease")
    assert not calls(known["predict"], "ServerLive")


def test_every_service_of_the_protos_is_looked_at() -> None:
    services = [
        line.split()[1]
        for file in (ROOT / "protos").rglob("*.proto")
        for line in file.read_text().splitlines()
        if line.startswith("service ")
    ]
    assert sorted(services) == sorted(name for proto in PROTOS for name in proto.services_by_name)
