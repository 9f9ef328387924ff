"""The folder of a server's own socket is private, and none stays behind for ever."""

import os
import stat
import subprocess
import sys

import pytest

from headgate.runtime.own_socket import LOCK, PREFIX, SocketFolder

HOLDER = """
import sys
from pathlib import Path
from headgate.runtime.own_socket import SocketFolder
folder = SocketFolder(Path(sys.argv[1]))
print(folder.socket, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def holder(tmp_path):
    """Another process that has a folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        yield process
        process.kill()


def folders(directory):
    return sorted(directory.glob(f"{PREFIX}*"))


def test_only_its_user_may_look_into_the_folder_and_it_goes_when_it_is_closed(tmp_path):
    folder = SocketFolder(tmp_path)
    assert stat.S_IMODE(folder.socket.parent.stat().st_mode) == 0o700
    assert folders(tmp_path) == [folder.socket.parent]
    folder.close()
    assert folders(tmp_path) == []


def test_the_folder_of_a_killed_process_is_removed_at_the_next_start_and_those_in_use_stay(tmp_path, holder):
    theirs = holder.stdout.readline().strip()
    mine = SocketFolder(tmp_path)
    assert len(folders(tmp_path)) == 2
    holder.kill()
    holder.wait()
    assert os.path.dirname(theirs) in map(str, folders(tmp_path))
    next_one = SocketFolder(tmp_path)
    assert folders(tmp_path) == sorted([mine.socket.parent, next_one.socket.parent])
    mine.close()
    next_one.close()


def test_what_is_no_folder_of_a_server_stays(tmp_path):
    (tmp_path / f"{PREFIX}new").mkdir()  # without a lock: it is just being made
    target = tmp_path / "other"
    target.mkdir()
    (target / LOCK).touch()
    (tmp_path / f"{PREFIX}link").symlink_to(target)
    (tmp_path / f"{PREFIX}file").touch()
    SocketFolder(tmp_path).close()
    assert [path.name for path in folders(tmp_path)] == [f"{PREFIX}{name}" for name in ("file", "link", "new")]
    assert (target / LOCK).exists()
