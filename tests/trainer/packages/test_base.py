"""What the trainer has already is not installed again. What its own code needs is replaced only by what works."""

from services.trainer.packages.base import Base, base_set, misfits, parsed, provided
from services.trainer.packages.lock import Lock
from services.trainer.packages.requirements import parse_requirements
from tests.trainer.packages.wheels import line, of_the_base

DIGEST, OTHER = "a" * 64, "b" * 64
BASE = Base(
    {"headgate": "0.1.0", "torch": "2.15.0", "numpy": "2.3.0", "onnx": "1.20.0", "ml-dtypes": "0.6.0"},
    {
        "headgate": parsed(["numpy>=2", "torch>=2.13", "typer>=0.20"]),
        "onnx": parsed(["ml_dtypes>=0.5"]),
        "ml-dtypes": parsed(["numpy>=2.1"]),
    },
    {("torch", "2.15.0"): frozenset({f"sha256:{DIGEST}"}), ("cublas", "13.0"): frozenset({f"sha256:{DIGEST}"})},
)


def lock(*lines: str) -> Lock:
    return parse_requirements("".join(lines).encode())


def test_the_same_version_with_the_same_hash_is_the_base_sets_own() -> None:
    assert provided(lock(line("torch", "2.15.0", DIGEST)), BASE) == {"torch"}
    assert provided(lock(line("torch", "2.15.0", OTHER)), BASE) == set()
    assert provided(lock(line("torch", "2.14.0", DIGEST)), BASE) == set()


def test_a_library_for_a_gpu_that_this_trainer_leaves_out_stays_out_with_its_torch() -> None:
    library = line("cublas", "13.0", DIGEST)
    assert provided(lock(line("torch", "2.15.0", DIGEST), library), BASE) == {"torch", "cublas"}
    assert provided(lock(line("torch", "2.14.0", OTHER), library), BASE) == set()


def test_what_the_training_process_needs_has_limits_and_the_rest_has_none() -> None:
    found = list(misfits(lock(line("typer", "0.1", DIGEST), line("numpy", "1.26.4", DIGEST)), BASE))
    assert found == [
        "requirements.txt, line 2: Headgate's training process needs numpy>=2, and the lock has numpy==1.26.4;"
        " lock a version that fits"
    ]


def test_what_a_package_of_the_base_set_needs_has_limits_too() -> None:
    (found,) = misfits(lock(line("ml-dtypes", "0.4.0", DIGEST)), BASE)
    assert "onnx 1.20.0 of the base set needs ml_dtypes>=0.5, and the lock has ml-dtypes==0.4.0" in found
    # A lock that brings both decides for itself.
    both = lock(line("ml-dtypes", "0.4.0", DIGEST), line("onnx", "1.21.0", DIGEST))
    assert list(misfits(both, BASE)) == []


def test_headgates_own_lock_has_the_hashes_of_what_is_installed() -> None:
    for name in ("torch", "numpy", "onnxruntime"):
        assert provided(lock(of_the_base(name)), base_set()) == {name}
