#!/usr/bin/env bash
# Builds the image of every service, or of those named: headgate/NAME:VERSION.
set -euo pipefail
cd "$(dirname "$0")/.."

version="$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)"
services=("$@")
[[ $# -gt 0 ]] || services=(registry trainer evaluator deployer gateway)

docker info >/dev/null 2>&1 || {
    echo "images: no Docker engine answers (docker info); images are built where one runs" >&2
    echo "images: without one, headgate up runs every service on this machine" >&2
    exit 1
}
for service in "${services[@]}"; do
    echo "images: headgate/$service:$version"
    docker build --file services/Dockerfile --build-arg "SERVICE=$service" --build-arg PIP_INDEX_URL --tag "headgate/$service:$version" .
done
