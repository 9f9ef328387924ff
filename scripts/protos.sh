#!/usr/bin/env bash
# The protos, the Python code that is generated from them, and their baseline.
#   generate   write the Python code, and add compatible changes to the baseline
#   check      lint, compare with the baseline, and compare the committed code with newly generated code
#   breaking   compare with the baseline alone
#   baseline   make the present protos the baseline, also with breaking changes
# The baseline holds everything that was ever promised. Facts are kept for ever, so they must stay readable.
set -euo pipefail
cd "$(dirname "$0")/.."

bin="$PWD/.venv/bin"
baseline=protos/baseline.binpb
packages=(v1 inference)
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT

site="$("$bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

fail() { echo "protos: $*" >&2; exit 1; }

generate_into() {
    local sources
    mapfile -t sources < <(find protos -name '*.proto' | LC_ALL=C sort)
    # google/api/*.proto come with googleapis-common-protos, google/protobuf/*.proto with grpcio-tools.
    mkdir -p "$1"
    PATH="$bin:$PATH" "$bin/python" -m grpc_tools.protoc -Iprotos "-I$site" --python_out="$1" --grpc_python_out="$1" \
        --mypy_out=quiet:"$1" --mypy_grpc_out=quiet:"$1" "${sources[@]}"
}

# buf knows no include path: it runs on a copy of the protos that has Google's annotations as a second module.
workspace() {
    mkdir -p "$scratch/workspace/google/google/api"
    cp -r protos "$scratch/workspace/"
    cp "$site"/google/api/{annotations,http}.proto "$scratch/workspace/google/google/api/"
    sed '/^modules:/a\  - path: google\n    lint: {ignore: [google]}' buf.yaml > "$scratch/workspace/buf.yaml"
}

run_buf() { (cd "$scratch/workspace" && "$bin/buf" "$@"); }

build_image() { run_buf build protos --exclude-source-info --output "$1"; }

breaking() {
    [[ ! -f $baseline ]] || run_buf breaking protos --exclude-imports --against "$PWD/$baseline" ||
        fail "the protos break $baseline: add fields, do not change or remove them. To break it on purpose: make baseline"
}

take_generated() {
    local package old
    generate_into "$scratch/python"
    for package in "${packages[@]}"; do
        [[ -d $scratch/python/headgate/$package ]] || continue
        mkdir -p "libs/headgate/$package"
        cp "$scratch/python/headgate/$package"/* "libs/headgate/$package/"
        for old in "libs/headgate/$package"/*_pb2*; do
            [[ -e $scratch/python/headgate/$package/${old##*/} ]] || rm "$old"
        done
    done
}

check_generated() {
    local package
    generate_into "$scratch/python"
    for package in "${packages[@]}"; do
        [[ -d $scratch/python/headgate/$package ]] || continue
        diff -r -x __init__.py -x __pycache__ "$scratch/python/headgate/$package" "libs/headgate/$package" ||
            fail "libs/headgate/$package differs from protos/; run: make protos"
    done
}

check_baseline() {
    [[ -f $baseline ]] || fail "$baseline is missing; run: make protos"
    breaking
    build_image "$scratch/now.binpb"
    cmp --quiet "$scratch/now.binpb" "$baseline" || fail "$baseline lacks the newest additions; run: make protos"
}

workspace
case "${1:-}" in
    generate)
        breaking
        take_generated
        build_image "$PWD/$baseline"
        ;;
    check)
        run_buf lint protos
        check_baseline
        check_generated
        ;;
    breaking) breaking ;;
    baseline) build_image "$PWD/$baseline" ;;
    *) fail "usage: scripts/protos.sh generate|check|breaking|baseline" ;;
esac
