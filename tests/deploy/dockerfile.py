"""Runs a stage of services/Dockerfile without a container engine, in a folder that replaces the root folder."""

import ensurepip
import fnmatch
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.house.tree import ROOT, short, tracked

DOCKERFILE = ROOT / "services/Dockerfile"
PLACES = ("/opt/headgate", "/wheels")
"""Absolute paths in the Dockerfile that are moved below this folder."""


@dataclass(frozen=True)
class Step:
    """One instruction of the Dockerfile, with its continued lines joined."""

    verb: str
    text: str


def stages() -> list[list[Step]]:
    """The steps of each stage. Every FROM starts a stage; stage 0 has the steps before the first FROM."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found: list[list[Step]] = [[]]
    for line in filter(None, (line.strip() for line in joined.splitlines())):
        verb, _, text = line.partition(" ")
        if verb == "FROM":
            found.append([])
        found[-1].append(Step(verb, text.strip()))
    return found


def context() -> list[Path]:
    """The files that .dockerignore does not exclude from the build."""
    rules = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    return [path for path in tracked() if _is_sent(short(path), rules)]


def _is_sent(name: str, rules: list[str]) -> bool:
    sent = True
    for rule in rules:
        pattern = rule.lstrip("!").removeprefix("**/")
        names = [name, *(parent.as_posix() for parent in Path(name).parents)]
        if "**/" in rule:
            names = [part for path in names for part in path.split("/")]
        if any(fnmatch.fnmatchcase(candidate, pattern) for candidate in names):
            sent = rule.startswith("!")
    return sent


def interpreter() -> str:
    """A Python that every user of this machine may run, like the Python of an image."""
    for candidate in (Path(sys.executable).resolve(), Path("/usr/bin/python3")):
        reachable = all(parent.stat().st_mode & 0o001 for parent in (candidate, *candidate.parents))
        if reachable or os.getuid() != 0:
            return str(candidate)
    raise AssertionError("no Python here can be run by another user than root")


def build(root: Path, service: str) -> None:
    """Runs the stage `build` for the service. Afterwards its environment is in root/opt/headgate."""
    base, work = root / "base", root / "build"
    for folder in (work, root / "opt"):
        folder.mkdir()
    subprocess.run([interpreter(), "-m", "venv", "--without-pip", base], check=True)
    (pip,) = (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")
    subprocess.run([base / "bin/python", pip / "pip", "install", "-q", "--no-index", pip], check=True)
    environ = {**os.environ, "SERVICE": service, "PATH": f"{base / 'bin'}:{os.environ['PATH']}", "PIP_QUIET": "1"}
    for step in stages()[1]:
        if step.verb == "ARG" and "=" in step.text:
            name, _, value = step.text.partition("=")
            environ.setdefault(name, value)
        elif step.verb == "COPY":
            *sources, target = step.text.replace("${SERVICE}", service).split()
            _copy(sources, work / target)
        elif step.verb == "RUN":
            script = step.text
            for place in PLACES:
                script = re.sub(rf"(?<=\s){place}\b", f"{root}{place}", script)
            subprocess.run(["sh", "-euc", script], cwd=work, env=environ, check=True)


def _copy(sources: list[str], target: Path) -> None:
    for path in context():
        for source in sources:
            if fnmatch.fnmatchcase(short(path), source):
                place = target / path.name
            elif short(path).startswith(f"{source}/"):
                place = target / path.relative_to(ROOT / source)
            else:
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place)
