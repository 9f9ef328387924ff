"""`make test-images`: builds images with services/Dockerfile and runs each as docker-compose.yml says, on Debian alone.

python -m tests.deploy.image_check [SERVICE...]
"""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.deploy.compose_rules import NOBODYS
from tests.deploy.debian_engine import DebianEngine, EngineUnavailable
from tests.deploy.run_flags import run_flags
from tests.deploy.service_settings import SERVICES
from tests.deploy.test_compose import COMPOSE
from tests.house.tree import ROOT

READY_SECONDS = 120.0
TICK_SECONDS = 0.5
LOG = "sqlite:///tmp/log.db"
USER = "10001:10001"


class Wrong(Exception):
    """The image or its container is not as it should be; the message says what was found."""


def main(names: list[str]) -> int:
    """Prints a line for each step; returns the exit code."""
    if unknown := set(names) - set(SERVICES):
        print(f"test-images: no service is called {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    try:
        with DebianEngine() as engine:
            say(f"engine {engine.docker('version', '--format', '{{.Server.Version}}')} of Debian's packages")
            base = engine.load_base()
            for name in names or ["registry"]:
                check(engine, name, base)
    except (EngineUnavailable, Wrong) as error:
        print(f"test-images: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"test-images: {' '.join(error.cmd[:3])}... ended with {error.returncode}", file=sys.stderr)
        return 1
    return 0


def check(engine: DebianEngine, name: str, base: str) -> None:
    """Builds the service's image, runs it, looks at it from inside, and stops it. Raises Wrong."""
    image = build(engine, name, base)
    volumes = list(mounts(engine, name, image))
    given = [f"--env={key}={value}" for key, value in environment(name).items()]
    flags = [*run_flags(COMPOSE["services"][name]), *volumes, *given]
    container = engine.docker("run", "--detach", "--network=none", *flags, image)
    try:
        wait_healthy(engine, container, name)
        look_inside(engine, container, name)
        stop(engine, container, name)
    finally:
        engine.docker("rm", "--force", container)


def build(engine: DebianEngine, name: str, base: str) -> str:
    image = f"{NOBODYS}{name}:test"
    arguments = [f"--build-arg={each}" for each in (f"BASE={base}", f"SERVICE={name}", "COMPUTE")]
    recipe = ["--file", str(ROOT / "services/Dockerfile"), "--network=host"]
    engine.docker("build", "--quiet", *recipe, *arguments, "--tag", image, str(ROOT))
    size = int(engine.docker("image", "inspect", "--format", "{{.Size}}", image))
    whole = int(engine.docker("image", "inspect", "--format", "{{.Size}}", base))
    say(f"{name}: built, {size / 1e6:.0f} MB, of which {whole / 1e6:.0f} MB are the base")
    return image


def environment(name: str) -> dict[str, str]:
    """What compose sets, with the embedded log in place of Kafka and without Redis: there is one container alone."""
    settings = {**COMPOSE["services"][name]["environment"], "HEADGATE_LOG": LOG}
    settings.pop("HEADGATE_REDIS", None)
    settings.pop("HEADGATE_TRACES", None)
    return settings


def mounts(engine: DebianEngine, name: str, image: str) -> Iterator[str]:
    """The service's volumes, the pair of keys made by compose's own job. Folders of this machine are left out."""
    job = COMPOSE["services"]["keys"]
    volumes = COMPOSE["services"][name].get("volumes", [])
    if volumes:
        program, *arguments = job["entrypoint"]
        keys = f"--volume={job['volumes'][0]}"
        engine.docker(
            "run", "--rm", "--network=none", *run_flags(job), keys, f"--entrypoint={program}", image, *arguments
        )
    for volume in volumes:
        if isinstance(volume, str):
            yield f"--volume={volume}"
        elif volume["type"] == "volume":
            # Debian's engine mounts no subfolder of a volume, so its folder is mounted.
            folder: Path = engine.volume(volume["source"]) / volume["volume"]["subpath"]
            yield f"--volume={folder}:{volume['target']}:ro"


def wait_healthy(engine: DebianEngine, container: str, name: str) -> None:
    began = time.monotonic()
    while (health := engine.docker("inspect", "--format", "{{.State.Health.Status}}", container)) != "healthy":
        running = engine.docker("inspect", "--format", "{{.State.Running}}", container) == "true"
        if not running or time.monotonic() - began > READY_SECONDS:
            engine.docker("logs", "--tail=20", container, shown=True)
            raise Wrong(f"{name} is {health} after {time.monotonic() - began:.0f} s; its last lines stand above")
        time.sleep(TICK_SECONDS)
    say(f"{name}: healthy after {time.monotonic() - began:.0f} s")


def look_inside(engine: DebianEngine, container: str, name: str) -> None:
    """Who the service is there, and what it may not do."""
    found = engine.docker(
        "exec", container, "sh", "-c", 'echo "$(id -u):$(id -g)"; grep -E "^(CapEff|NoNewPrivs)" /proc/self/status'
    )
    user, *status = found.splitlines()
    held = dict(line.split(":\t") for line in status)
    if user != USER or int(held["CapEff"], 16) != 0 or held["NoNewPrivs"] != "1":
        raise Wrong(f"{name} has rights: {found}")
    written = engine.docker("exec", container, "sh", "-c", "touch /opt/headgate/file 2>&1 || true")
    if "Read-only file system" not in written:
        raise Wrong(f"{name} may write to its image: {written or 'nothing refused it'}")
    say(f"{name}: runs as {user} without rights, and its image is read-only")
    bill = json.loads(engine.docker("exec", container, "cat", "/opt/headgate/share/headgate/sbom.cdx.json"))
    kinds = [each["purl"].partition("/")[0] for each in bill["components"]]
    if not {"pkg:pypi", "pkg:deb"} <= set(kinds):
        raise Wrong(f"{name} has a bill of materials without packages of Python or of Debian")
    say(f"{name}: its bill of materials has {len(kinds)} packages")


def stop(engine: DebianEngine, container: str, name: str) -> None:
    began = time.monotonic()
    engine.docker("stop", container)
    seconds = time.monotonic() - began
    code = engine.docker("inspect", "--format", "{{.State.ExitCode}}", container)
    if code != "0":
        engine.docker("logs", "--tail=20", container, shown=True)
        raise Wrong(f"{name} ended with {code} on SIGTERM after {seconds:.0f} s; its last lines stand above")
    say(f"{name}: drained and ended with 0 within {seconds:.1f} s")


def say(line: str) -> None:
    print(f"test-images: {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
