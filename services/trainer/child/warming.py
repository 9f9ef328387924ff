"""Readies the exporter while the commit is fetched and tested, and keeps it from doing work twice."""

import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from headgate.artifacts import layout
from headgate.network_table import BATCH
from services.trainer.child.onnx_graph import onnx_of

UNUSED = "redis"
"""torch's compiler imports it, where it is installed, for a shared cache that nothing here uses."""
MAX_OPERATORS = 4096
"""The exporter has about 540."""


def warm_up() -> None:
    """Exports a tiny network, because the exporter imports most of its modules at the first export."""
    with _without(UNUSED), _passed_over():
        _keep_signatures()
        _find_operators_once()
        onnx_of(nn.Linear(1, 1).eval(), torch.zeros(2, 1), {layout.INPUT: {0: BATCH}})


def _keep_signatures() -> None:
    """The exporter reads the source of each operator anew at every export, most of the time that a small one takes.

    Of the source it uses nothing, and the signature depends on the operator alone. Another version of torch may have no
    such places; then each export reads all of it.
    """
    with suppress(ImportError, AttributeError):
        from onnxscript._internal.values import TracedOnnxFunction

        if isinstance(reading := TracedOnnxFunction.__dict__.get("function_ir"), property) and reading.fget:
            late = _read_late(reading.fget)
            setattr(TracedOnnxFunction, "function_ir", late)  # noqa: B010  # mypy sees a method that is assigned to
    with suppress(ImportError, AttributeError):
        from torch.onnx._internal.exporter import _schemas

        _schemas.op_signature_from_function = lru_cache(MAX_OPERATORS)(_schemas.op_signature_from_function)


def _find_operators_once() -> None:
    """At each export torch goes 62 times through all operators of its core, to make those that nothing has used yet.

    Once all are made, it need not do so again until a library adds an operator.
    """
    with suppress(ImportError, AttributeError):
        from torch._export import utils

        find, named = utils._materialize_cpp_cia_ops, torch._C._dispatch_get_registrations_for_dispatch_key
        found: list[str] = []

        def find_new() -> None:
            if (now := named("CompositeImplicitAutograd")) != found:
                find()
                found[:] = now

        utils._materialize_cpp_cia_ops = find_new


def _read_late(read: Callable[[Any], Any]) -> property:
    """A property that reads the source of an operator once more than its domain is asked for."""

    def function_ir(operator: Any) -> "_Late":
        return _Late(operator.opset.domain, lambda: read(operator))

    return property(function_ir)


class _Late:
    """What the source of an operator says, read when it is asked for."""

    def __init__(self, domain: str, read: Callable[[], Any]) -> None:
        self.domain = domain
        self._read = read

    def __getattr__(self, name: str) -> Any:
        return getattr(self._read(), name)


@contextmanager
def _passed_over() -> Iterator[None]:
    """What is made meanwhile stays to the end, so the garbage collector passes over it: else a seventh of the CPU time.

    It neither looks for garbage meanwhile nor looks at these objects later.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


@contextmanager
def _without(module: str) -> Iterator[None]:
    """An import of the module fails as if it were not installed."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]
