#!/usr/bin/env bash
# Installs Debian packages as root. Each argument is a package. While another apt works on this machine, each of the two
# steps waits for it, at most APT_LOCK_SECONDS.
set -euo pipefail
limit=${APT_LOCK_SECONDS:-600}
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
errors=$(mktemp)
trap 'rm -f "$errors"' EXIT

# apt itself waits for dpkg's lock only, not for the locks of its lists and its downloads. For these it is run again.
apt() {
    local deadline=$((SECONDS + limit)) waits=
    until apt-get -qq -o DPkg::Lock::Timeout="$limit" "$@" >/dev/null 2>"$errors"; do
        if ! grep -qE "Could not get lock|Unable to acquire the dpkg" "$errors"; then
            cat "$errors" >&2
            return 1
        elif ((SECONDS >= deadline)); then
            cat "$errors" >&2
            echo "apt: another apt is still at work after $limit s (APT_LOCK_SECONDS); run this again when it has ended" >&2
            return 1
        fi
        [[ $waits ]] || echo "apt: another apt is at work; waiting for at most $limit s (APT_LOCK_SECONDS)" >&2
        waits=1
        sleep 1
    done
}

apt update
apt install -y --no-install-recommends "$@"
