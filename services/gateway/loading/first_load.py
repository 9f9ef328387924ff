"""Keeps what only loaded versions need out of memory until the first load: ONNX Runtime and the check of signatures."""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from headgate.artifacts.blobs import Blobs
from headgate.v1 import facts_pb2 as facts
from services.gateway.resident import give_back
from services.gateway.sessions import Load, LoadedVersion


def loader_at_first_load(
    store: Blobs, keys: Path, trial: Callable[[bytes], None], processes: int = 1, batches: bool = False
) -> Load:
    """What `onnx_loading.loader` returns, with the trusted keys of this directory, made when it is first called."""

    @cache
    def made() -> Load:
        # Imported late: they take 40 MiB, and a gateway without a version needs none of it.
        from headgate.artifacts.keys import load_trusted
        from services.gateway.loading.onnx_loading import loader

        return loader(store, lambda: load_trusted(keys), trial, processes, batches)

    @cache
    def tidied() -> None:
        give_back()

    def load(model: str, version: int, artifact: facts.Artifact) -> LoadedVersion:
        loaded = made()(model, version, artifact)
        tidied()  # before its first request, and only of the first: later ones find the code in memory
        return loaded

    return load
