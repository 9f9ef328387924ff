"""A Docker engine of Debian's packages that only this process uses, and a base image of Debian's packages.

It has its own data, its own socket and no network for containers, so it touches neither the machine's firewall nor an
engine that runs already. No registry of images is asked for anything.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Self

from scripts.uv import pip_settings
from tests.house.tree import ROOT
from tests.server_process import ServerUnavailable, await_ready, end, launch

SUITE = "bookworm"
PACKAGES = ("ca-certificates", "passwd", "python-is-python3", "python3", "python3-pip", "python3-venv")
"""What an official Python image has beside Debian itself, as far as services/Dockerfile uses it."""
CACHED_BASE = ROOT / ".cache" / "images" / f"{SUITE}.tar"
BASE = "headgate.invalid/base:debian"

CLIENT = "/usr/bin/docker"
"""The client of Debian's engine, whatever other one comes first on the path."""

START_SECONDS = 60.0
DOCKER_SECONDS = 900.0
BOOTSTRAP_SECONDS = 900.0

PIP_SETTINGS = ("index-url", "extra-index-url", "trusted-host", "default-timeout", "timeout")
"""Settings of the machine's pip that count inside a container too."""


class EngineUnavailable(Exception):
    """The engine or its base image cannot be had here; the message says why and what to do."""


class DebianEngine:
    """Runs between `with` and its end; what it stored is removed then."""

    def __init__(self) -> None:
        _refuse_other_machines()
        # Not /tmp, which may be kept in memory: layers need a disk.
        self._folder = Path(tempfile.mkdtemp(prefix="headgate-engine-", dir="/var/tmp"))
        self._host = f"unix://{self._folder}/docker.sock"
        self._output = self._folder / "dockerd.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = ["dockerd", "--host", self._host, "--pidfile", f"{self._folder}/pid"]
        command += ["--data-root", f"{self._folder}/data", "--exec-root", f"{self._folder}/exec"]
        command += ["--iptables=false", "--bridge=none"]
        self._process = launch(command, self._output)
        try:
            await_ready(self._process, self._output, self._answers, START_SECONDS)
        except (ServerUnavailable, OSError) as error:  # OSError: the client is missing
            self.__exit__()
            raise EngineUnavailable(
                f"dockerd does not start; it needs all rights of root, over mounts and control groups too:\n{error}"
            ) from error
        return self

    def __exit__(self, *exc: object) -> None:
        end(self._process, signal.SIGTERM)
        for place in mounted_below(self._folder):
            # A build on the machine's network leaves its name of that network behind.
            subprocess.run(["umount", place], check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def has_ended(self) -> bool:
        """Whether dockerd does not run."""
        return self._process is None or self._process.poll() is not None

    def docker(self, *arguments: str, shown: bool = False) -> str:
        """What the command prints; with `shown` it goes to the terminal. Raises CalledProcessError."""
        # Debian's engine comes without BuildKit's client.
        environment = {**os.environ, "DOCKER_HOST": self._host, "DOCKER_BUILDKIT": "0"}
        output = None if shown else subprocess.PIPE
        ended = subprocess.run(
            [CLIENT, *arguments], env=environment, stdout=output, text=True, timeout=DOCKER_SECONDS, check=True
        )
        return (ended.stdout or "").strip()

    def volume(self, name: str) -> Path:
        """The folder of a volume on this machine."""
        return Path(self.docker("volume", "inspect", "--format", "{{.Mountpoint}}", name))

    def load_base(self) -> str:
        """The name of an image of Debian's packages with this machine's settings of pip in it."""
        if not CACHED_BASE.is_file():
            _bootstrap(CACHED_BASE)
        self.docker("import", str(CACHED_BASE), "headgate.invalid/debian:bare")
        with tempfile.TemporaryDirectory() as folder:
            _write_pip_settings(Path(folder))
            (Path(folder) / "Dockerfile").write_text("FROM headgate.invalid/debian:bare\nCOPY etc /etc\n")
            self.docker("build", "--quiet", "--tag", BASE, folder)
        return BASE

    def _answers(self) -> bool:
        asked = [CLIENT, "--host", self._host, "info"]
        return subprocess.run(asked, capture_output=True, timeout=START_SECONDS).returncode == 0


def mounted_below(folder: Path) -> list[str]:
    """What is still mounted there, the innermost first."""
    places = (line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines())
    return sorted((place for place in places if Path(place).is_relative_to(folder)), reverse=True)


def _refuse_other_machines() -> None:
    release = Path("/etc/os-release").read_text() if Path("/etc/os-release").exists() else ""
    if os.getuid() != 0 or f"VERSION_CODENAME={SUITE}" not in release:
        raise EngineUnavailable("needs root on Debian 12, for an engine and an image of Debian's packages")


def _bootstrap(target: Path) -> None:
    """Packs a Debian with PACKAGES. Debian's own rule against pip beside apt is for machines, not for this image."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial.tar")
    command = ["mmdebstrap", "--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    command += ['--customize-hook=rm -f "$1"/usr/lib/python3*/EXTERNALLY-MANAGED', SUITE, str(partial)]
    try:
        subprocess.run(command, timeout=BOOTSTRAP_SECONDS, check=True)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        raise EngineUnavailable(f"mmdebstrap made no Debian of its packages: {error}") from error
    partial.rename(target)


def _write_pip_settings(folder: Path) -> None:
    """etc/pip.conf, and the certificates that it names, as pip on this machine has them."""
    (folder / "etc").mkdir()
    listing = [sys.executable, "-m", "pip", "config", "list"]
    settings = pip_settings(subprocess.run(listing, capture_output=True, text=True, check=True).stdout)
    lines = ["[global]", *(f"{name} = {settings[name]}" for name in PIP_SETTINGS if name in settings)]
    if "cert" in settings:
        shutil.copy(settings["cert"], folder / "etc" / "pip-certificates.pem")
        lines.append("cert = /etc/pip-certificates.pem")
    (folder / "etc" / "pip.conf").write_text("\n".join(lines) + "\n")
