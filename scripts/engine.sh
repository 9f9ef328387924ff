# Sourced by what needs a container engine: ends with a clear word where there is none.

need_engine() {
    docker info >/dev/null 2>&1 && return
    echo "$1: no Docker engine answers (docker info)" >&2
    echo "$1: without one, .venv/bin/headgate up runs every service on this machine" >&2
    exit 1
}
