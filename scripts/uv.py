"""Runs the uv beside this Python with the user's own pip settings (index, certificates, timeout).

uv does not read pip.conf or PIP_*; a machine that reaches its packages through a mirror has usually told only pip.
Whatever the user has told uv itself wins.
"""

import ast
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

SECTIONS = ("global", "install", ":env:")
"""Where pip reads a setting, the last one wins."""

UV_NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "extra-index-url": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
    "find-links": ("UV_FIND_LINKS",),
    "trusted-host": ("UV_INSECURE_HOST",),
    "cert": ("SSL_CERT_FILE",),
    "default-timeout": ("UV_HTTP_TIMEOUT",),
    "timeout": ("UV_HTTP_TIMEOUT",),
}
"""pip's name of a setting -> uv's variable, and the older ones that say the same."""


def pip_settings(listing: str) -> dict[str, str]:
    """Reads `pip config list`: one `section.name='value'` a line."""
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in found:
            found[section][name] = str(ast.literal_eval(value))
    return {name: value for section in SECTIONS for name, value in found[section].items()}


def uv_settings(pip: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """The variables to add to the environment; those the user has set stay."""
    added = {}
    for name, variables in UV_NAMES.items():
        if name in pip and not any(variable in environment for variable in variables):
            separator = "," if name == "find-links" else " "
            added[variables[0]] = separator.join(pip[name].split())
    if "UV_INDEX" in added:
        # pip looks in every index; a mirror may hold a package in some other version only.
        added["UV_INDEX_STRATEGY"] = environment.get("UV_INDEX_STRATEGY", "unsafe-first-match")
    return added


def main() -> None:
    pip = [sys.executable, "-m", "pip", "config", "list"]
    listing = subprocess.run(pip, capture_output=True, text=True, check=True).stdout
    uv = Path(sys.executable).parent / "uv"
    os.execve(uv, [str(uv), *sys.argv[1:]], {**os.environ, **uv_settings(pip_settings(listing), os.environ)})


if __name__ == "__main__":
    main()
