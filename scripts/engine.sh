# Sourced by what needs a container engine: ends with a clear word where there is none, or where it is too old.

need_engine() {
    docker info >/dev/null 2>&1 && return
    echo "$1: no Docker engine answers (docker info)" >&2
    echo "$1: without one, .venv/bin/headgate up runs every service on this machine" >&2
    exit 1
}

# docker-compose.yml mounts a subfolder of a volume: engines can since 26, Compose passes it on since 2.26.
need_compose() {
    need_engine "$1"
    local engine compose
    engine="$(docker version --format '{{.Server.Version}}')"
    at_least "$engine" 26 || too_old "$1" "Docker Engine $engine is too old: it takes 26 or newer"
    compose="$(docker compose version --short 2>/dev/null)" ||
        too_old "$1" "this docker has no compose: install its compose plugin, 2.26 or newer"
    at_least "${compose#v}" 2.26 || too_old "$1" "Docker Compose $compose is too old: it takes 2.26 or newer"
}

at_least() { [[ $(printf '%s\n' "$2" "$1" | sort -V | head -n 1) == "$2" ]]; }

too_old() {
    echo "$1: $2" >&2
    exit 1
}
