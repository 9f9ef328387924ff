"""The state of a training between two epochs, as one safetensors file.

A training that goes on from it gives the same weights as one that was never interrupted. Tensors are stored as they
are, everything else as JSON in the metadata. Reading a checkpoint runs no foreign code.
"""

import json
import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from headgate.domain.words import counted
from services.trainer.child.failure import NotResumable

STATE = "state"
SCALARS = (str, int, float, bool, type(None))


class Stateful(Protocol):
    """An optimizer, a scheduler, or anything else that changes from epoch to epoch."""

    def state_dict(self) -> Mapping[str, Any]: ...

    def load_state_dict(self, state: Any, /) -> object: ...


Part = Stateful | torch.Generator


def save(file: Path, network: nn.Module, parts: Sequence[Part], history: object) -> None:
    """Writes what the training needs to go on; `load` returns `history`. Raises NotResumable."""
    if not all(isinstance(value, Tensor) for value in network.state_dict().values()):
        raise NotResumable("the network has a state that is not a tensor")
    tensors: dict[str, Tensor] = {}
    state = {
        "network": dict(weights(network)),
        "parts": [part.get_state() if isinstance(part, torch.Generator) else part.state_dict() for part in parts],
        "random_state": random_state(),
        "history": history,
    }
    packed = json.dumps(pack(state, tensors))
    aside = file.with_suffix(".part")
    try:
        safetensors.torch.save_file(tensors, aside, metadata={STATE: packed})
    except (ValueError, KeyError) as error:
        raise NotResumable(f"a tensor cannot be written: {error}") from error
    # Renamed when it is complete, so that a reader finds a whole checkpoint, the new one or the one before.
    os.replace(aside, file)


def load(file: Path, network: nn.Module, parts: Sequence[Part]) -> Any:
    """Restores everything and returns the `history` given to `save`.

    Raises NotResumable when it does not fit. Network and parts may have changed by then.
    """
    try:
        return restore(file, network, parts)
    except (ValueError, KeyError, TypeError, RuntimeError, AttributeError, safetensors.SafetensorError) as error:
        raise NotResumable(f"the checkpoint does not fit: {error}") from error


def restore(file: Path, network: nn.Module, parts: Sequence[Part]) -> Any:
    with safetensors.safe_open(file, framework="pt") as content:
        tensors = {name: content.get_tensor(name) for name in content.keys()}  # noqa: SIM118 - it is no mapping
        state = unpack(json.loads(content.metadata()[STATE]), tensors)
    here = dict(weights(network))
    if {name: value.shape for name, value in here.items()} != {n: v.shape for n, v in state["network"].items()}:
        raise NotResumable("the checkpoint is of another network")
    if len(parts) != len(state["parts"]):
        raise NotResumable(
            f"the checkpoint has {counted(len(state['parts']), 'part')}, and what is to be restored has {len(parts)}"
        )
    with torch.no_grad():
        for name, value in here.items():
            value.copy_(state["network"][name])
    for part, part_state in zip(parts, state["parts"], strict=True):
        if isinstance(part, torch.Generator):
            part.set_state(part_state)
        else:
            part.load_state_dict(part_state)
    set_random_state(state["random_state"])
    return state["history"]


def weights(network: nn.Module) -> Mapping[str, Tensor]:
    """Parameters and buffers, also the buffers that are not exported."""
    return dict(network.named_parameters()) | dict(network.named_buffers())


def random_state() -> dict[str, Any]:
    """The state of the global random generators, which the repository's code may use."""
    kind, numbers, *rest = np.random.get_state(legacy=True)
    return {"torch": torch.get_rng_state(), "python": random.getstate(), "numpy": (kind, numbers.tolist(), *rest)}  # type: ignore[union-attr]


def set_random_state(state: Mapping[str, Any]) -> None:
    torch.set_rng_state(state["torch"])
    random.setstate(state["python"])
    np.random.set_state(state["numpy"])


def pack(tree: object, tensors: dict[str, Tensor]) -> object:
    """The tree as JSON can hold it. Its tensors go into `tensors`, and their numbers into the tree."""
    match tree:
        case Tensor():
            name = str(len(tensors))
            tensors[name] = tree.detach().clone().contiguous()
            return {"tensor": name}
        case Mapping():
            return {"dict": [[pack(key, tensors), pack(value, tensors)] for key, value in tree.items()]}
        case tuple():
            return {"tuple": [pack(value, tensors) for value in tree]}
        case list():
            return [pack(value, tensors) for value in tree]
        case _ if isinstance(tree, SCALARS):
            return tree
        case _:
            raise NotResumable(f"{type(tree).__name__} cannot be stored in a checkpoint")


def unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    match packed:
        case {"tensor": name}:
            return tensors[name]
        case {"dict": pairs}:
            return {unpack(key, tensors): unpack(value, tensors) for key, value in pairs}
        case {"tuple": values}:
            return tuple(unpack(value, tensors) for value in values)
        case list():
            return [unpack(value, tensors) for value in packed]
        case _:
            return packed
