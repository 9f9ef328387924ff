"""What foreign code can do in a jail, asked from inside: as few jails as possible, each with many probes."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from headgate.jail.bubblewrap import Bubblewrap
from headgate.jail.port import MIB, Confined, JailLimits, Prepared
from tests.house.tree import ROOT

LIMITS = JailLimits(memory_bytes=512 * MIB, processes=40, file_bytes=8 * MIB, temporary_bytes=4 * MIB)
PROBES = Path(__file__).with_name("probes.py")
OTHER_USER = 60_001 + os.getpid() % 4_000
"""Runs beside each other have users of their own, because the system counts processes by user."""


def confined(outside: "Outside", folder: Path, python: str) -> Confined:
    given = outside.folder / "given"
    command = [python, str(given / "probes.py"), str(given / "targets.json")]
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder)}
    return Confined(command, folder, environment, [Path(sys.base_prefix), given], [folder], LIMITS)


@dataclass
class Outside:
    """What lies around the jail: a secret, listening sockets, and what the probes are told of them."""

    folder: Path
    targets: dict[str, Any]
    secret: str
    left: str


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    place = tmp_path_factory.mktemp("jail")
    for parent in (place, *place.parents[:3]):
        parent.chmod(parent.stat().st_mode | 0o055)
    secret, left = secrets.token_hex(16), f"600.{os.getpid()}"
    for folder in ("home/keys", "home/artifacts", "attempt-2", "given", "work"):
        (place / folder).mkdir(parents=True)
    hidden = [place / name for name in ("home/keys/signing.key", "home/token", "home/log.db", "attempt-2/job.json")]
    for file in hidden:
        file.write_text(secret)
        file.chmod(0o644)
    (place / "given" / "data").write_text("given")
    shutil.copy(PROBES, place / "given" / "probes.py")
    with ExitStack() as open_sockets:
        tcp = open_sockets.enter_context(socket.create_server(("127.0.0.1", 0)))
        abstract, name = open_sockets.enter_context(socket.socket(socket.AF_UNIX)), f"headgate-{left}"
        abstract.bind("\0" + name)
        abstract.listen()
        targets = {
            "secrets": [*map(str, hidden), str(ROOT / "README.md"), "/etc/shadow"],
            "folders": [str(file.parent) for file in hidden if file.parent != place] + ["/srv"],
            "ports": [tcp.getsockname()[1]],
            "abstract": [name],
            "sockets": ["/var/run/docker.sock", "/run/dbus/system_bus_socket"],
            "read only": [
                str(place / "given" / "data"),
                "/usr/x",
                "/etc/x",
                "/x",
                "/dev/x",
                "/sys/x",
                sys.base_prefix + "/x",
            ],
            "process": os.getpid(),
            "left": left,
        }
        (place / "given" / "targets.json").write_text(json.dumps(targets))
        yield Outside(place, targets, secret, left)


def as_this_user(outside: Outside) -> subprocess.CompletedProcess[str]:
    jail, folder = Bubblewrap(), outside.folder / "work"
    jail.give(folder)
    with jail.prepared(confined(outside, folder, jail.python)) as prepared:
        return ended(prepared)


def as_another_user(outside: Outside) -> subprocess.CompletedProcess[str]:
    """A user without rights, for whom bubblewrap makes a user namespace. Only root can become one."""
    jail, folder = Bubblewrap(user=0, python=python_for_all()), outside.folder / "own"
    folder.mkdir()
    os.chown(folder, OTHER_USER, OTHER_USER)
    asked = replace(confined(outside, folder, jail.python), read_only=[outside.folder / "given"])
    with jail.prepared(asked) as prepared:
        return ended(prepared, user=OTHER_USER, group=OTHER_USER, extra_groups=[])


def python_for_all() -> str:
    """A Python that no user's home hides."""
    found = shutil.which("python3", path="/usr/local/bin:/usr/bin")
    assert found is not None
    return found


def ended(prepared: Prepared, **changes: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        prepared.command, pass_fds=prepared.descriptors, capture_output=True, text=True, cwd="/",
        env={"PATH": "/usr/bin:/bin"}, **changes,
    )  # fmt: skip


def is_running(left: str) -> bool:
    wanted = b"sleep\0" + left.encode() + b"\0"
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cmdline").read_bytes() == wanted:
                return True
        except (FileNotFoundError, ProcessLookupError):
            continue
    return False


WAYS = {"this user": as_this_user} | ({"another user": as_another_user} if os.getuid() == 0 else {})


@pytest.mark.parametrize("way", WAYS)
def test_foreign_code_finds_no_way_out_of_its_jail(outside: Outside, way: str) -> None:
    ran = WAYS[way](outside)
    assert ran.returncode == 0, ran.stderr
    found = dict(json.loads(line) for line in ran.stdout.splitlines())
    assert outside.secret not in ran.stdout
    assert outside.secret.encode().hex() not in ran.stdout
    assert {name: what for name, what in found.items() if name.startswith(REFUSED) and not is_refused(what)} == {}
    assert {name: found[name] for name in ALLOWED} == ALLOWED
    assert found["user"] not in (0, os.getuid())
    assert found["processes"] < FEW
    assert found.keys() >= EXPECTED
    assert not is_running(outside.left)


NETWORK_PROBES = """
import json, socket, sys
def found(kind, act, address):
    with socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET) as one:
        one.setblocking(False)
        try: getattr(one, act)(address)
        except OSError as error: return type(error).__name__
        return "done"
def sent(call):
    with socket.socket() as one:
        try: call(one)
        except OSError as error: return type(error).__name__
        return "done"
port, name = int(sys.argv[1]), sys.argv[2]
service, at_once = ("127.0.0.1", port), socket.MSG_FASTOPEN
print(json.dumps({
    "service": found("tcp", "connect", ("127.0.0.1", port)), "abstract": found("unix", "connect", "\\0" + name),
    "listen": found("tcp", "bind", ("127.0.0.1", 0)), "web": found("tcp", "connect", ("127.0.0.1", 443)),
    "sendto": sent(lambda one: one.sendto(b"x", at_once, service)),
    "sendmsg": sent(lambda one: one.sendmsg([b"x"], [], at_once, service)),
}))
"""


def test_with_a_network_the_ports_and_sockets_of_services_stay_out_of_reach(outside: Outside) -> None:
    jail, folder = Bubblewrap(), outside.folder / "work"
    asked = confined(outside, folder, jail.python)
    port, name = outside.targets["ports"][0], outside.targets["abstract"][0]
    asked = replace(asked, command=[jail.python, "-c", NETWORK_PROBES, str(port), name], has_network=True)
    with jail.prepared(asked) as prepared:
        ran = ended(prepared)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    reached_web = found.pop("web")
    assert found == dict.fromkeys(("service", "abstract", "listen", "sendto", "sendmsg"), "PermissionError")
    assert reached_web in ("BlockingIOError", "ConnectionRefusedError", "done")


FEW = 8
EXPECTED = {"fork bomb", "memory bomb", "full /tmp", "large file", "call ptrace", "world", "user", "processes"}
REFUSED = (
    "read ", "list ", "port ", "abstract ", "socket ", "write ", "call ", "kill outside", "environ", "root of", "core",
    "memory", "disk", "become", "raw", "packet", "crypto", "vsock", "mptcp", "audit", "world", "terminal", "32 bit",
    "clone", "fork bomb", "full", "large",
)  # fmt: skip
ALLOWED: dict[str, object] = {
    "host name": "jail",
    "groups": [],
    "variables": ["LC_CTYPE", "PATH"],
    "descriptors": [0, 1, 2],
    "capabilities": 3 * ["0000000000000000"],
    "no new privileges": ["1"],
    "own folder": 4,
}


def is_refused(found: object) -> bool:
    return isinstance(found, str) and (found in ("MemoryError", "TimeoutError", "its own") or found.startswith("E"))


def test_where_there_is_no_bubblewrap_the_problem_says_what_to_install() -> None:
    assert (
        Bubblewrap(program="")
        .problem()
        .endswith("install bubblewrap (`apt-get install bubblewrap` on Debian and Ubuntu)")
    )


def test_where_bubblewrap_may_make_no_namespaces_the_problem_says_what_it_said(tmp_path: Path) -> None:
    closed = tmp_path / "bwrap"
    closed.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    closed.chmod(0o755)
    problem = Bubblewrap(program=str(closed)).problem()
    assert "bubblewrap fails (bwrap: No permissions to create new namespace): let this user make" in problem
