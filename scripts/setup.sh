#!/usr/bin/env bash
# Makes the Python environment $1. pip installs a pinned uv, then uv installs the locked requirements and this project,
# editable. Every package is checked against a hash in requirements/. Only this project is built. No index is named.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1

fail() { echo "setup: $*" >&2; exit 1; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11 or newer is needed; name one: make setup PYTHON=/path/to/python3"
}

# On Debian, venv is a package of its own.
need_venv() {
    "$1" -c 'import ensurepip, venv' 2>/dev/null && return
    local package
    package="$("$1" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')"
    [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null ||
        fail "$1 has no venv module; install it first: apt-get install $package"
    scripts/apt_install.sh "$package"
}

if [[ ! -x $venv/bin/python ]]; then
    python="$(find_python)"
    need_venv "$python"
    echo "setup: $("$python" --version) -> $venv"
    "$python" -m venv "$venv"
fi
"$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null

echo "setup: installing requirements/dev.txt (the first time this takes minutes, because it downloads torch)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r requirements/uv.txt
uv=("$venv/bin/python" scripts/uv.py pip install --quiet --python "$venv/bin/python")
"${uv[@]}" --require-hashes --only-binary :all: -r requirements/dev.txt
# Without isolation the build uses the locked hatchling and does not download another one.
"${uv[@]}" --no-deps --no-build-isolation --editable .
# uv leaves the bytecode to the first import, and a training may not write here: each one would compile torch again.
said="$(env -u PYTHONDONTWRITEBYTECODE "$venv/bin/python" -P -m services.trainer.child unused </dev/null 2>&1)" ||
    fail "a training cannot start here: $said"
scripts/bubblewrap.sh "$venv"
echo "setup: done"
