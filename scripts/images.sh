#!/usr/bin/env bash
# Builds the image of every service, or of those named: headgate/NAME:VERSION.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/engine.sh

version="$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)"
services=("$@")
[[ $# -gt 0 ]] || services=(registry trainer evaluator deployer gateway)

need_engine images
for service in "${services[@]}"; do
    echo "images: headgate/$service:$version"
    docker build --file services/Dockerfile --build-arg "SERVICE=$service" --build-arg PIP_INDEX_URL \
        --tag "headgate/$service:$version" .
done
