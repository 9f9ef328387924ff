"""The user's settings of pip as settings of uv, which reads neither pip.conf nor PIP_*. Only Python's own library.

On a machine that uses a mirror, often only pip is configured. Settings of uv itself take precedence.
"""

import ast
from collections.abc import Mapping

SECTIONS = ("global", "install", ":env:")
"""The sections in which pip looks for a setting. The last one takes precedence."""

UV_NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "extra-index-url": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
    "find-links": ("UV_FIND_LINKS",),
    "trusted-host": ("UV_INSECURE_HOST",),
    "cert": ("SSL_CERT_FILE",),
    "default-timeout": ("UV_HTTP_TIMEOUT",),
    "timeout": ("UV_HTTP_TIMEOUT",),
}
"""pip's name of a setting -> uv's variable and its older names."""


def pip_settings(listing: str) -> dict[str, str]:
    """The settings in the output of `pip config list`, which has one `section.name='value'` per line."""
    found: dict[str, dict[str, str]] = {section: {} for section in SECTIONS}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        if section in found:
            found[section][name] = str(ast.literal_eval(value))
    return {name: value for section in SECTIONS for name, value in found[section].items()}


def uv_settings(pip: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """The variables to add to the environment. Variables that the user has set are not changed."""
    added = {}
    for name, variables in UV_NAMES.items():
        if name in pip and not any(variable in environment for variable in variables):
            separator = "," if name == "find-links" else " "
            added[variables[0]] = separator.join(pip[name].split())
    if "UV_INDEX" in added:
        # pip looks in every index. A mirror may have a package only in another version.
        added["UV_INDEX_STRATEGY"] = environment.get("UV_INDEX_STRATEGY", "unsafe-first-match")
    return added
