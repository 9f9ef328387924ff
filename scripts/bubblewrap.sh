#!/usr/bin/env bash
# Sees to it that there is bubblewrap, in which the code of repositories runs. On Debian it installs the package as root,
# and as another user it takes the program out of it into the Python environment $1. Elsewhere it says what to do.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=$1

command -v bwrap >/dev/null && exit 0
[[ -x $venv/bin/bwrap ]] && exit 0
[[ $(uname -s) == Linux ]] || exit 0

note() {
    echo "setup: bubblewrap is not there, so only repositories of HEADGATE_TRUSTED_REPOSITORIES are trained:" \
        "install the package bubblewrap" >&2
    exit 0
}

command -v apt-get >/dev/null || note
if [[ $(id -u) == 0 ]]; then
    scripts/apt_install.sh bubblewrap || note
else
    folder="$(mktemp -d)"
    trap 'rm -rf "$folder"' EXIT
    (cd "$folder" && apt-get -qq download bubblewrap && dpkg -x bubblewrap_*.deb .) >/dev/null 2>&1 || note
    install "$folder/usr/bin/bwrap" "$venv/bin/bwrap"
fi
