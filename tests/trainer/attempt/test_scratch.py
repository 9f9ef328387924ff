"""A trainer clears what its killed process left behind, and nothing that a running process works in."""

import os
import subprocess
import sys
from pathlib import Path

from services.trainer.attempt.scratch import clear_left_behind, clear_older_folders, scratch_directory, scratch_of
from services.trainer.programs.sizes import grown_too_large

KILLED = """
import sys, os, signal
from pathlib import Path
from services.trainer.attempt.scratch import scratch_directory
with scratch_directory(Path(sys.argv[1])) as directory:
    (directory / "checkout").mkdir()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_folder_of_a_killed_process_is_cleared_and_that_of_a_running_one_stays(tmp_path: Path) -> None:
    scratch = scratch_of(tmp_path, "trainer-0")
    subprocess.run([sys.executable, "-c", KILLED, str(scratch)], cwd=os.getcwd(), check=False, timeout=60)
    (left,) = scratch.iterdir()
    with scratch_directory(scratch) as running, scratch_directory(scratch_of(tmp_path, "trainer-1")) as others:
        assert clear_left_behind(scratch) == [left.name]
        assert list(scratch.iterdir()) == [running]
        assert others.is_dir()
    assert list(scratch.iterdir()) == []


def test_a_folder_of_any_depth_is_measured_and_removed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("stays")
    with scratch_directory(tmp_path / "work") as directory:
        at = os.open(directory, os.O_RDONLY)
        for _ in range(2 * sys.getrecursionlimit()):
            os.mkdir("1", dir_fd=at)
            os.symlink(outside, "link", dir_fd=at)
            below = os.open("1", os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = below
        os.fchmod(at, 0)
        os.close(at)
        assert grown_too_large(directory, max_bytes=1 << 40)() == "has folders more than 200 deep"
    assert list((tmp_path / "work").iterdir()) == []
    assert outside.read_text() == "stays"


def test_folders_of_older_trainers_are_cleared_once_nobody_uses_them(tmp_path: Path) -> None:
    for name in ("attempt-old", "attempt-new", "worker-trainer-1", "own"):
        (tmp_path / name).mkdir()
    for name in ("attempt-old", "worker-trainer-1", "own"):
        os.utime(tmp_path / name, (0, 0))
    assert clear_older_folders(tmp_path) == ["attempt-old"]
    assert {each.name for each in tmp_path.iterdir()} == {"attempt-new", "worker-trainer-1", "own"}


def test_a_link_among_the_folders_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    scratch = scratch_of(tmp_path, "trainer-0")
    scratch.mkdir()
    (scratch / "attempt-link").symlink_to(tmp_path / "precious")
    assert clear_left_behind(scratch) == []
    assert (tmp_path / "precious").is_dir()


def test_a_trainers_name_never_leaves_the_folder(tmp_path: Path) -> None:
    for name in ("..", ".", "../trainer", "a/b"):
        assert scratch_of(tmp_path, name).resolve().parent == tmp_path.resolve()
    assert scratch_of(tmp_path, "a/b") != scratch_of(tmp_path, "a%2Fb")
    assert clear_left_behind(scratch_of(tmp_path, "never-started")) == []
