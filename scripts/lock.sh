#!/usr/bin/env bash
# Writes the lock files. Versions stay as they are unless a requirement needs others; --upgrade takes newer ones.
set -euo pipefail
cd "$(dirname "$0")/.."

services=(registry trainer evaluator deployer gateway portal)
# CUDA libraries of torch that a CPU never calls. The other CUDA libraries stay: they are small, and torch reads their
# data when it is loaded. See services/trainer/without_cuda.py.
only_for_a_gpu=(
    cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas nvidia-cuda-cccl nvidia-cuda-nvrtc nvidia-cudnn-cu13
    nvidia-cufft nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvtx triton
)

compile() {
    local target=$1
    shift
    .venv/bin/python scripts/uv.py pip compile --quiet --universal --python-version 3.11 --generate-hashes \
        --no-emit-index-url --no-annotate --no-header --output-file "requirements/$target.txt" "$@" >/dev/null
    echo "lock: requirements/$target.txt"
}

compile uv requirements/uv.in "$@"
compile dev pyproject.toml "${services[@]/#/--extra=}" --extra=tracing --extra=dev --constraint requirements/uv.in "$@"
for service in "${services[@]}"; do
    # Images get the versions of dev.txt, which were tested. They include tracing, which HEADGATE_TRACES switches on.
    compile "$service" pyproject.toml --extra="$service" --extra=tracing --constraint requirements/dev.txt
done
compile trainer-cpu pyproject.toml --extra=trainer --extra=tracing --constraint requirements/dev.txt \
    "${only_for_a_gpu[@]/#/--no-emit-package=}"
# Only what builds the wheel inside the image.
compile build requirements/build.in --constraint requirements/dev.txt
compile tritonclient requirements/tritonclient.in "$@"
compile peers requirements/peers.in "$@"
compile mlserver requirements/mlserver.in "$@"
compile triton requirements/triton.in "$@"
compile kserve requirements/kserve.in "$@"
compile model-signing requirements/model-signing.in "$@"
