#!/usr/bin/env bash
# Runs Headgate in containers. `compose.sh up [PROFILE...]` builds the images, starts everything and waits until it is
# healthy. `compose.sh down` stops it and keeps the volumes.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/engine.sh

need_compose "$1"
case $1 in
up)
    shift
    # The repositories that the trainer can fetch from this machine, unless REPOSITORIES names another folder.
    [[ -n ${REPOSITORIES:-} ]] || scripts/repositories.sh repositories
    docker compose "${@/#/--profile=}" up --build --detach --wait
    echo "up: registry 127.0.0.1:7400, gateway 127.0.0.1:7404 (gRPC) and 127.0.0.1:7405 (REST), Kafka 127.0.0.1:9094"
    echo "up: for headgate publish: export HEADGATE_LOG=kafka://127.0.0.1:9094; make down stops everything"
    ;;
down) docker compose --profile='*' down ;;
*)
    echo "compose.sh up [PROFILE...] | down" >&2
    exit 2
    ;;
esac
