"""What is said of a package that the module imports and nothing has."""

import pytest
from packaging.markers import Marker

from services.trainer.packages.imports import Import
from services.trainer.packages.lock import Lock, Pin, WrongLock
from services.trainer.packages.locked import require_all


def test_a_package_that_the_lock_has_for_another_python_only_is_named_with_its_line_and_its_condition() -> None:
    pin = Pin(2, "einops-more", "0.8.2", frozenset(), marker=Marker('python_version < "3.9"'))
    lock = Lock("requirements.txt", "", (pin,), "uv pip compile")

    with pytest.raises(WrongLock) as wrong:
        require_all({"einops_more": Import("einops_more", "model.py", 3)}, (), lock)

    assert str(wrong.value) == (
        "model.py, line 3: it imports einops_more, which requirements.txt, line 2 has for another Python only:"
        ' python_version < "3.9" does not hold here. Change this condition, and lock again: uv pip compile'
    )
