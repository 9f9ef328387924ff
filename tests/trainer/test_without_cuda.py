"""What requirements/trainer-cpu.txt leaves out; that it is not missed is tested beside the training."""

from pathlib import Path

import pytest

from services.trainer.without_cuda import NoTorch, complete
from tests.house.test_locks import pins
from tests.house.tree import ROOT
from tests.trainer.cpu_environment import packages


def test_the_lock_for_a_cpu_is_the_trainers_less_what_only_a_gpu_needs() -> None:
    whole, cpu = (pins(ROOT / "requirements" / f"{lock}.txt") for lock in ("trainer", "trainer-cpu"))
    assert cpu.items() <= whole.items()
    assert {name.partition("-")[0] for name in packages("trainer") - packages("trainer-cpu")} == {
        "cuda",
        "nvidia",
        "triton",
    }


def test_a_folder_without_torch_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoTorch, match="torch is not installed"):
        complete(tmp_path)
