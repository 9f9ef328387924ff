#!/usr/bin/env bash
# Headgate on containers: `compose.sh up [PROFILE...]` builds, starts and waits until all is healthy; `compose.sh down`
# ends it and keeps the volumes.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/engine.sh

need_compose "$1"
case $1 in
up)
    shift
    # What the trainer may fetch from this machine, unless you name a folder of your own.
    [[ -n ${REPOSITORIES:-} ]] || scripts/repositories.sh repositories
    docker compose "${@/#/--profile=}" up --build --detach --wait
    echo "up: registry 127.0.0.1:7400, gateway 127.0.0.1:7404, Kafka 127.0.0.1:9094"
    echo "up: export HEADGATE_LOG=kafka://127.0.0.1:9094 for headgate publish; make down ends it"
    ;;
down) docker compose --profile='*' down ;;
*)
    echo "compose.sh up [PROFILE...] | down" >&2
    exit 2
    ;;
esac
