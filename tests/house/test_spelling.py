"""Every generated module is imported under one name, and no name is a single letter, so that all files read alike."""

import ast
from collections.abc import Iterator

from tests.house.tree import ROOT, short, tracked

NAMES = {
    "headgate.v1.facts_pb2": "facts",
    "headgate.v1.commands_pb2": "commands",
    "headgate.v1.resources_pb2": "resources",
    "headgate.v1.configuration_pb2": "configuration",
    "headgate.v1.telemetry_pb2": "telemetry",
    "headgate.v1.predictions_pb2": "predictions",
    "headgate.v1.access_service_pb2": "access_service",
    "headgate.v1.access_service_pb2_grpc": "access_service_grpc",
    "headgate.v1.edge_service_pb2": "edge",
    "headgate.v1.edge_service_pb2_grpc": "edge_grpc",
    "headgate.v1.edge_state_pb2": "edge_state",
    "headgate.v1.registry_service_pb2": "registry_service",
    "headgate.v1.registry_service_pb2_grpc": "registry_service_grpc",
    "headgate.v1.release_service_pb2": "release_service",
    "headgate.v1.release_service_pb2_grpc": "release_service_grpc",
    "headgate.v1.worker_services_pb2": "worker_services",
    "headgate.v1.worker_services_pb2_grpc": "worker_services_grpc",
    "headgate.inference.grpc_predict_v2_pb2": "inference",
    "headgate.inference.grpc_predict_v2_pb2_grpc": "inference_grpc",
}
"""Generated module -> the name under which it is imported."""

LETTERS = {
    "libs/headgate/artifacts/plots/": {"x", "y"},
    "services/evaluator/metrics/binomial.py": {"a", "b", "c", "d", "n", "x"},
}
"""Where a single letter is the field's own name: axes, and a formula as its source has it."""

GENERATED = ("libs/headgate/v1/", "libs/headgate/inference/")


def imports(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """The line, the module and the local name of each import, also of single names from a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, alias.asname or alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            if "_pb2" in node.module:
                yield node.lineno, node.module, "a single name"
            yield from (
                (node.lineno, f"{node.module}.{alias.name}", alias.asname or alias.name) for alias in node.names
            )


def test_a_generated_module_is_imported_under_its_one_name() -> None:
    others = [
        f"{short(path)}:{line}: {module} as {name}"
        for path in tracked()
        if path.suffix == ".py" and not short(path).startswith(GENERATED)
        for line, module, name in imports(ast.parse(path.read_text()))
        if module.startswith("headgate.") and "_pb2" in module and NAMES.get(module) != name
    ]
    assert others == []


def test_every_generated_module_has_its_name() -> None:
    made = {
        f"headgate.{path.parent.name}.{path.stem}" for folder in GENERATED for path in (ROOT / folder).glob("*_pb2*.py")
    }
    without_services = {module for module in made if module.endswith("_grpc") and module not in NAMES}
    assert made - without_services == set(NAMES)


def letters(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line and the name of each single letter that outlives one expression. A type variable may be one."""
    within = (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, within) or _is_type_variable(node):
            continue
        found = node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store) else ""
        found = node.arg if isinstance(node, ast.arg) else found
        found = node.asname or "" if isinstance(node, ast.alias) else found
        if len(found) == 1 and found != "_":
            yield getattr(node, "lineno", 0), found
        yield from letters(node)


def _is_type_variable(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("TypeVar(")


def test_no_name_is_a_single_letter() -> None:
    found = [
        f"{short(path)}:{line}: {name}"
        for path in tracked()
        if path.suffix == ".py" and short(path).startswith(("libs/", "services/")) and "_pb2" not in path.name
        for line, name in letters(ast.parse(path.read_text()))
        if not any(short(path).startswith(place) and name in allowed for place, allowed in LETTERS.items())
    ]
    assert found == []


def test_a_single_letter_is_found() -> None:
    text = "import headgate.v1.facts_pb2 as f\ndef g(k):\n    r = [x for x in k]\nT = TypeVar('T')"
    assert list(letters(ast.parse(text))) == [(1, "f"), (2, "k"), (3, "r")]
