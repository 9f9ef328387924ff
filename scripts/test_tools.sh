#!/usr/bin/env bash
# Checks that commands exist. Each argument is command:debian-package. As root on Debian it installs what is missing.
set -euo pipefail

missing=()
for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
[[ ${#missing[@]} == 0 ]] && exit 0

if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
    echo "test-setup: programs are missing; install them: apt-get install --no-install-recommends ${missing[*]}" >&2
    exit 1
fi

# The tests start their own servers, so no package may start a daemon.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
echo "test-setup: installing ${missing[*]}"
"$(dirname "$0")/apt_install.sh" "${missing[@]}"
