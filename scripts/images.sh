#!/usr/bin/env bash
# Builds the images of all services, or of those named, as headgate.invalid/NAME:VERSION. No registry can have that name,
# so give an image your own name with `docker tag`. BASE, PIP_INDEX_URL and COMPUTE are passed to services/Dockerfile.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/engine.sh

version="$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)"
services=("$@")
[[ $# -gt 0 ]] || services=(registry trainer evaluator deployer gateway portal)

need_engine images
for service in "${services[@]}"; do
    echo "images: headgate.invalid/$service:$version"
    # An argument without a value gets its value from the variable of the same name, if it is set.
    docker build --file services/Dockerfile --build-arg "SERVICE=$service" \
        --build-arg BASE --build-arg PIP_INDEX_URL --build-arg COMPUTE \
        --tag "headgate.invalid/$service:$version" .
done
